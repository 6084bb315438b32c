#!/bin/sh
# initrd.sh TREE VERSION >INITRD
#
# The smallest initrd that mounts a disk on virtio: busybox and the modules for it, put together by the tree's own programs.
# With `labctl.try` on the kernel's command line it says that it got so far and powers off: so an accelerator is tried.
set -eu
tree=$1 version=$2
folder=$tree/initrd
mkdir -p "$folder/bin" "$folder/modules" "$folder/proc" "$folder/sys" "$folder/dev" "$folder/root"
cp "$tree/bin/busybox" "$folder/bin/"
# In the order in which they depend on each other.
for module in virtio_pci virtio_blk ext4; do
  chroot "$tree" modprobe --set-version "$version" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
done | awk '!seen[$0]++' | while read -r path; do
  name=$(basename "$path" .xz)
  case $path in
    *.xz) xz -dc "$tree/$path" >"$folder/modules/$name" ;;
    *) cp "$tree/$path" "$folder/modules/$name" ;;
  esac
  echo "$name"
done >"$folder/order"
cat >"$folder/init" <<'END'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
if $b grep -q labctl.try /proc/cmdline; then
  echo "labctl: the kernel has booted" >/dev/console
  $b poweroff -f
fi
for name in $($b cat /order); do $b insmod "/modules/$name" || echo "labctl: no $name" >/dev/console; done
$b mount -t ext4 -o rw,noatime /dev/vda /root || { echo "labctl: no disk" >/dev/console; $b poweroff -f; }
$b umount /proc /sys
exec $b switch_root /root /sbin/init
END
chmod 755 "$folder/init"
chroot "$tree" sh -c 'cd /initrd && find . | busybox cpio -o -H newc' 2>/dev/null | gzip -1
rm -rf "$folder"
