#!/usr/bin/env bash
# Runs a command in a virtual machine that has cgroup v2 with controllers: user-mode-linux, a Linux kernel that is a plain program.
#
#   scripts/vm-test.sh cargo test -p hotcell-cgroup        (better: a test binary that was built outside, see below)
#   scripts/vm-test.sh target/debug/deps/cgroup-0123456789abcdef
#
# It boots in about four seconds, needs neither root nor /dev/kvm, and has no disk image: the machine's root is this one's file
# tree, read-only, with fresh /proc, /sys, /dev/shm, /tmp and /run. The command runs as the machine's root, in the directory that this
# was called in, with this environment, on one emulated CPU. Its output and its exit code are passed through. /sys/fs/cgroup is
# cgroup v2 with cpu, io, memory and pids; there is no cpuset, no Landlock, and no network.
#
# Where the kernel cannot be had (no apt-get, no network) it says so and exits with 77, which test runners take for "skipped".
#
#   HOTCELL_VM_SECONDS   the machine is ended after that many (240)
#   HOTCELL_VM_MEMORY    its memory (2G)
#   HOTCELL_VM_WRITABLE  directories that it may write to, separated by colons (none)
#   HOTCELL_VM_KERNEL    the kernel (default: linux.uml on the PATH, else Debian's package, extracted to ~/.cache/hotcell)
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: ${0##*/} command [argument…]" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

skip() {
  echo "skipped: no user-mode-linux: $*" >&2
  exit 77
}

find_kernel() {
  if [ -n "${HOTCELL_VM_KERNEL:-}" ]; then
    echo "$HOTCELL_VM_KERNEL"
    return
  fi
  command -v linux.uml && return
  local cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/hotcell/user-mode-linux
  if [ ! -x "$cache/linux.uml" ]; then
    [ "$(uname -m)" = x86_64 ] || skip "it is built for x86_64 only"
    command -v apt-get >/dev/null || skip "no apt-get to fetch Debian's package user-mode-linux with"
    command -v dpkg-deb >/dev/null || skip "no dpkg-deb to extract Debian's package with"
    echo "▸ apt-get download user-mode-linux (41 MB, kept in $cache)" >&2
    local fetched
    fetched=$(mktemp -d)
    (
      cd "$fetched"
      apt-get download user-mode-linux >log 2>&1 || { apt-get update >>log 2>&1 && apt-get download user-mode-linux >>log 2>&1; }
    ) || { tail -n 3 "$fetched/log" >&2; rm -rf "$fetched"; skip "apt-get download user-mode-linux failed"; }
    dpkg-deb -x "$fetched"/user-mode-linux_*.deb "$fetched/content"
    mkdir -p "$cache"
    # Renamed into place: another run may do the same at this moment.
    mv "$fetched/content/usr/bin/linux.uml" "$cache/linux.uml.$$"
    mv "$cache/linux.uml.$$" "$cache/linux.uml"
    rm -rf "$fetched"
  fi
  echo "$cache/linux.uml"
}

kernel=$(find_kernel)
[ -x "$kernel" ] || skip "$kernel cannot be executed"

# The one place that both sides write to: what to run, and how it ended.
shared=$(mktemp -d "${TMPDIR:-/tmp}/hotcell-vm.XXXXXX")
trap 'rm -rf "$shared"' EXIT
{
  export -p
  printf 'cd %q\n' "$PWD"
  printf 'exec'
  printf ' %q' "$@"
  printf '\n'
} >"$shared/command"
printf '%s' "${HOTCELL_VM_WRITABLE:-}" | tr ':' '\n' >"$shared/writable"

# Descriptor 3 is what the command writes, through a serial line; the kernel's own words go to a file. UML keeps its memory in a file
# that has to be executable: where /dev/shm does not allow it, it looks at TMPDIR.
status=0
timeout --kill-after=5 "${HOTCELL_VM_SECONDS:-240}" "$kernel" \
  "mem=${HOTCELL_VM_MEMORY:-2G}" rootfstype=hostfs rootflags=/ ro "init=$here/vm/init.sh" "hotcell_shared=$shared" \
  con=null con0=null,fd:1 ssl=null ssl0=null,fd:3 quiet 3>&1 >"$shared/kernel" 2>&1 </dev/null || status=$?

if [ ! -s "$shared/status" ]; then
  if [ "$status" = 124 ] || [ "$status" = 137 ]; then
    echo "the machine was ended after ${HOTCELL_VM_SECONDS:-240} s" >&2
    exit 124
  fi
  tail -n 20 "$shared/kernel" >&2
  echo "the machine ended with $status before the command did" >&2
  exit 125
fi
exit "$(cat "$shared/status")"
