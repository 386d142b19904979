#!/usr/bin/env bash
# Runs a command in a virtual machine, as vm-test.sh does, with Debian's kernel for clouds in an emulated PC. It is slower (about ten
# seconds until the command runs, and each command takes several times as long) and has what user-mode-linux has not: two CPUs, and
# with them cpuset in /sys/fs/cgroup; exact CPU times; Landlock, Yama and AppArmor.
#
#   scripts/vm-qemu-test.sh nproc
#
# The interface is vm-test.sh's: the machine's root is this one's file tree, read-only, with fresh /proc, /sys, /dev/shm, /tmp and
# /run (but for the working directory); the command runs as the machine's root, in the directory that this was called in, with this
# environment; its output and its exit code are passed through. It needs no /dev/kvm, but root: virtiofsd, which serves the files to
# the machine, makes namespaces and opens them by handles that only root may use.
#
# Where root or a package is missing it says so and exits with 77, which test runners take for "skipped". Run by root, it installs
# Debian's qemu-system-x86; the kernel and busybox are downloaded, and extracted to ~/.cache/hotcell.
#
#   HOTCELL_VM_SECONDS   the machine is ended after that many (900)
#   HOTCELL_VM_MEMORY    its memory (2G)
#   HOTCELL_VM_WRITABLE  directories that it may write to, separated by colons (none)
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: ${0##*/} command [argument…]" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/vm/fetch.sh
. "$here/vm/fetch.sh"
# shellcheck source=scripts/vm/exchange.sh
. "$here/vm/exchange.sh"

skip() {
  echo "skipped: no virtual machine in qemu: $*" >&2
  exit 77
}

[ "$(uname -m)" = x86_64 ] || skip "it is an x86_64 PC, whose files are those of this machine"
[ "$(id -u)" = 0 ] || skip "virtiofsd needs root"

virtiofsd() {
  local path
  for path in /usr/libexec/virtiofsd /usr/lib/qemu/virtiofsd; do
    [ ! -x "$path" ] || { echo "$path"; return; }
  done
}

install_packages() {
  local missing=()
  command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
  # Debian has it in a package of its own since version 13; before, qemu-system-x86 needs the one that has it.
  [ -n "$(virtiofsd)" ] || ! apt-cache show virtiofsd >/dev/null 2>&1 || missing+=(virtiofsd)
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || skip "not installed: ${missing[*]} (Debian's names of the packages)"
  echo "▸ apt-get install ${missing[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  install() { apt-get install --yes --no-install-recommends "${missing[@]}" </dev/null; }
  local output
  output=$(install 2>&1 || { apt-get update 2>&1 && install 2>&1; }) ||
    { tail -n 3 <<<"$output" >&2; skip "could not install ${missing[*]}"; }
}
install_packages
[ -n "$(virtiofsd)" ] || skip "no virtiofsd"

# In the order in which they need each other. What a kernel has built in has no file.
modules=(virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci fuse virtiofs)

kernel=$(fetched linux-cloud-amd64)
if [ ! -e "$kernel/vmlinuz" ]; then
  command -v apt-cache >/dev/null || skip "no apt-get to fetch Debian's kernel with"
  newest() { apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1; }
  package=$(newest)
  [ -n "$package" ] || { apt-get update >/dev/null 2>&1 || true; package=$(newest); }
  [ -n "$package" ] || skip "apt-get knows no package linux-image-cloud-amd64"
  pick() {
    cp "$1"/boot/vmlinuz-* "$2/vmlinuz" || return
    local module file
    for module in "${modules[@]}"; do
      for file in "$1"/lib/modules/*/kernel/{drivers/virtio,fs/fuse}/"$module".ko* "$1"/usr/lib/modules/*/kernel/{drivers/virtio,fs/fuse}/"$module".ko*; do
        case $file in
          *.ko) cp "$file" "$2" ;;
          *.ko.xz) xz --decompress --stdout "$file" >"$2/$module.ko" ;;
        esac
      done
    done
  }
  fetch linux-cloud-amd64 "$package"
fi
tools=$(fetched busybox-static)
if [ ! -x "$tools/busybox" ]; then
  pick() { cp "$1"/{bin,usr/bin}/busybox "$2" 2>/dev/null || [ -x "$2/busybox" ]; }
  fetch busybox-static busybox-static
fi

seconds=${HOTCELL_VM_SECONDS:-900}
memory=${HOTCELL_VM_MEMORY:-2G}
cleanup() {
  # They have ended, unless this script is ended before.
  [ -z "${machine:-}" ] || kill "$machine" 2>/dev/null || true
  [ -z "${server:-}" ] || kill "$server" 2>/dev/null || true
  rm -rf "${shared:-}"
}
trap cleanup EXIT
share_command "$@"

# What the kernel starts with: busybox, the drivers for the files, and a script.
initramfs=$shared/initramfs
mkdir -p "$initramfs"/{bin,dev,proc,root}
cp "$tools/busybox" "$initramfs/bin"
cp "$kernel"/*.ko "$initramfs"
cp "$here/vm/initramfs.sh" "$initramfs/init"
printf '%s\n' "${modules[@]}" >"$initramfs/modules"
(cd "$initramfs" && "$tools/busybox" find . | "$tools/busybox" cpio -o -H newc) >"$shared/initramfs.cpio" 2>/dev/null
rm -r "$initramfs"

"$(virtiofsd)" --socket-path="$shared/files" -o source=/ -o sandbox=chroot -o cache=always -f </dev/null >"$shared/virtiofsd" 2>&1 &
server=$!
for ((i = 0; i < 300; i++)); do
  [ ! -S "$shared/files" ] || break
  kill -0 "$server" 2>/dev/null || { tail -n 5 "$shared/virtiofsd" >&2; skip "virtiofsd does not start"; }
  sleep 0.1
done

# The first serial line is what the command writes, the second one the kernel's. Waited for in the background: bash heeds no signal
# while it waits for what it runs in the foreground.
timeout --kill-after=5 "$seconds" qemu-system-x86_64 \
  -accel tcg,thread=multi -cpu max -smp 2 -M q35,memory-backend=memory -m "$memory" \
  -object "memory-backend-memfd,id=memory,size=$memory,share=on" \
  -nodefaults -display none -no-reboot \
  -chardev "socket,id=files,path=$shared/files" -device vhost-user-fs-pci,chardev=files,tag=host \
  -chardev stdio,id=command,signal=off -serial chardev:command -serial "file:$shared/kernel" \
  -kernel "$kernel/vmlinuz" -initrd "$shared/initramfs.cpio" \
  -append "console=ttyS1 quiet panic=-1 mitigations=off rootfstype=virtiofs hotcell_init=$here/vm/init.sh hotcell_shared=$shared" \
  </dev/null 2>"$shared/qemu" &
machine=$!
status=0
wait "$machine" || status=$?
machine=

exit_like_command "$status" "$seconds" "$shared/virtiofsd" "$shared/qemu" "$shared/kernel"
