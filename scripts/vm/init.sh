#!/bin/bash
# pid 1 of the machine that ../vm-test.sh or ../vm-qemu-test.sh boots: mounts, runs the one command, and powers off. Everything outside
# of the mounts made here is the host's, read-only.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

mount -t proc proc /proc
for word in $(</proc/cmdline); do
  case $word in
    hotcell_shared=*) shared=${word#*=} ;;
    rootfstype=*) files=${word#*=} ;;
  esac
done
mount -t sysfs sysfs /sys
mount -t securityfs securityfs /sys/kernel/security 2>/dev/null
mount -t devtmpfs devtmpfs /dev 2>/dev/null || mount -t tmpfs tmpfs /dev
[ -e /dev/null ] || { mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/zero c 1 5; mknod -m 666 /dev/full c 1 7; mknod -m 666 /dev/random c 1 8; mknod -m 666 /dev/urandom c 1 9; mknod /dev/ttyS0 c 4 64; }
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
mkdir -p /dev/shm /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t devpts devpts /dev/pts

# host_directory PATH MOUNT_POINT: a directory of the host's, to be written to. hostfs has a file system for each; virtiofs has one,
# which is mounted for writing, as far as this script has not changed that.
host_directory() {
  mkdir "$2"
  case $files in
    hostfs) mount -t hostfs -o "$1" none "$2" ;;
    *) mount --bind "$1" "$2" ;;
  esac
}

host_directory "$shared" /dev/.shared
mapfile -t writable </dev/.shared/writable
for index in "${!writable[@]}"; do
  [ -z "${writable[index]}" ] || host_directory "${writable[index]}" "/dev/.writable$index"
done
[ "$files" = hostfs ] || mount -o remount,bind,ro /

# /tmp and /run are fresh, but for what is shared with the host, and the working directory.
directory=$(</dev/.shared/directory)
mkdir /dev/.directory
mount --bind "$directory" /dev/.directory
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs tmpfs /run
[ -d "$directory" ] || { mkdir -p "$directory" && mount --bind /dev/.directory "$directory"; }
umount /dev/.directory
for index in "${!writable[@]}"; do
  [ -n "${writable[index]}" ] || continue
  mkdir -p "${writable[index]}"
  mount --bind "/dev/.writable$index" "${writable[index]}"
done

mount -t cgroup2 cgroup2 /sys/fs/cgroup
# One by one: an absent one fails the whole write.
for controller in cpu io memory pids cpuset; do
  echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
done 2>/dev/null
command -v ip >/dev/null && ip link set lo up

# A serial line is a terminal, which would write \r\n.
stty -F /dev/ttyS0 raw -echo 2>/dev/null
# Through a pipe, so that nobody thinks to write to a terminal. What the command has left behind may hold it open for ever.
mkfifo /dev/.output
cat </dev/.output >/dev/ttyS0 &
reader=$!
bash /dev/.shared/command </dev/null >/dev/.output 2>&1
status=$?
timeout 3 tail --sleep-interval=0.1 --pid="$reader" -f /dev/null
sync
echo "$status" >/dev/.shared/status
sync

# reboot(LINUX_REBOOT_CMD_POWER_OFF)
perl -e 'syscall(169, 0xfee1dead, 672274793, 0x4321fedc, 0)' ||
  python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321fedc)' ||
  echo o >/proc/sysrq-trigger
sleep 10
