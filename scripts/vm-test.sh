#!/usr/bin/env bash
# Runs a command in a virtual machine that has cgroup v2 with controllers: user-mode-linux, a Linux kernel that is a plain program.
#
#   scripts/vm-test.sh cargo test -p hotcell-cgroup        (better: a test binary that was built outside, see below)
#   scripts/vm-test.sh target/debug/deps/cgroup-0123456789abcdef
#
# It boots in about four seconds, needs neither root nor /dev/kvm, and has no disk image: the machine's root is this one's file
# tree, read-only, with fresh /proc, /sys, /dev/shm, /tmp and /run; a working directory below one of these is there nevertheless. The
# command runs as the machine's root, in the directory that this was called in, with this environment, on one emulated CPU. Its
# output and its exit code are passed through. /sys/fs/cgroup is cgroup v2 with cpu, io, memory and pids; there is no cpuset, no
# Landlock, and no network: vm-qemu-test.sh has these, and two CPUs, and takes longer.
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
# shellcheck source=scripts/vm/fetch.sh
. "$here/vm/fetch.sh"
# shellcheck source=scripts/vm/exchange.sh
. "$here/vm/exchange.sh"

skip() {
  echo "skipped: no user-mode-linux: $*" >&2
  exit 77
}

pick() {
  cp "$1/usr/bin/linux.uml" "$2"
}

find_kernel() {
  if [ -n "${HOTCELL_VM_KERNEL:-}" ]; then
    echo "$HOTCELL_VM_KERNEL"
    return
  fi
  command -v linux.uml && return
  local kernel
  kernel=$(fetched user-mode-linux)/linux.uml
  if [ ! -x "$kernel" ]; then
    [ "$(uname -m)" = x86_64 ] || skip "it is built for x86_64 only"
    fetch user-mode-linux user-mode-linux
  fi
  echo "$kernel"
}

kernel=$(find_kernel)
[ -x "$kernel" ] || skip "$kernel cannot be executed"
seconds=${HOTCELL_VM_SECONDS:-240}

trap 'rm -rf "${shared:-}"' EXIT
share_command "$@"

# Descriptor 3 is what the command writes, through a serial line; the kernel's own words go to a file. UML keeps its memory in a file
# that has to be executable: where /dev/shm does not allow it, it looks at TMPDIR.
status=0
timeout --kill-after=5 "$seconds" "$kernel" \
  "mem=${HOTCELL_VM_MEMORY:-2G}" rootfstype=hostfs rootflags=/ ro "init=$here/vm/init.sh" "hotcell_shared=$shared" \
  con=null con0=null,fd:1 ssl=null ssl0=null,fd:3 quiet 3>&1 >"$shared/kernel" 2>&1 </dev/null || status=$?

exit_like_command "$status" "$seconds" "$shared/kernel"
