#!/bin/busybox sh
# pid 1 of the machine that ../vm-qemu-test.sh boots, until it has the host's files: then init.sh is.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
while read -r module; do
  [ ! -e "/$module.ko" ] || insmod "/$module.ko"
done </modules
mount -t virtiofs host /root
for word in $(cat /proc/cmdline); do
  case $word in hotcell_init=*) init=${word#*=} ;; esac
done
umount /proc
exec switch_root /root "$init"
