#!/bin/sh
# pack.sh IMAGE FOLDER
#
# Packs an image (`disk.ext4`, `kernel` and `initrd` in IMAGE) that box.sh was part of as a box for Vagrant with libvirt:
# FOLDER/debian-12.json, which `vagrant box add` takes, and the box that it names. There is no boot loader in it. Kernel and
# initrd stay in FOLDER, by version, where the QEMU of libvirt can read them. Says the version, and first whether it packed.
set -eu
image=$1 folder=$2
umask 022
version=$(date --utc --reference="$image/disk.ext4" +12.%Y%m%d.%H%M%S)
boot=$folder/$version
if [ -e "$boot/initrd" ]; then
  echo "$version"
  exit 0
fi
work=$folder/work
rm -rf "$work"
mkdir -p "$work" "$boot"

gib=$(( ($(stat --format=%s "$image/disk.ext4") + (1 << 30) - 1) >> 30 ))
qemu-img convert -f raw -O qcow2 "$image/disk.ext4" "$work/box.img"
qemu-img resize -q "$work/box.img" "${gib}G"
echo "{\"provider\": \"libvirt\", \"format\": \"qcow2\", \"virtual_size\": $gib}" >"$work/metadata.json"
cat >"$work/Vagrantfile" <<END
Vagrant.configure("2") do |config|
  config.vm.provider :libvirt do |libvirt|
    libvirt.kernel = "$boot/kernel"
    libvirt.initrd = "$boot/initrd"
    # Vagrant counts interfaces by the names that the kernel gives them.
    libvirt.cmd_line = "console=ttyS0 net.ifnames=0 quiet"
  end
end
END
# Not compressed: it is unpacked once, on this machine.
tar --create --file "$work/debian-12.box" --directory "$work" metadata.json Vagrantfile box.img
cat >"$work/debian-12.json" <<END
{"name": "labctl/debian-12",
 "versions": [{"version": "$version", "providers": [{"name": "libvirt", "url": "file://$folder/debian-12.box"}]}]}
END
mv "$work/debian-12.box" "$work/debian-12.json" "$folder"
cp "$image/kernel" "$boot/kernel"
cp "$image/initrd" "$boot/initrd.new"
mv "$boot/initrd.new" "$boot/initrd"
rm -rf "$work"
printf 'packed\n%s\n' "$version"
