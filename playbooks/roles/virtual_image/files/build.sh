#!/bin/sh
# build.sh FOLDER SUITE ARCHIVE KEYRING SIZE_MIB KERNEL PACKAGE...
#
# Makes, in FOLDER, what a virtual machine boots from with no boot loader: `disk.ext4`, `kernel` and `initrd`, of Debian's
# packages. All of it happens in name spaces of its own, below one process: who ends that one ends all, and no mount stays.
# make.sh runs it so.
set -eu
folder=$1 suite=$2 archive=$3 keyring=$4 size_mib=$5 kernel=$6
shift 6
umask 022
here=$(dirname "$(readlink -f "$0")")
work=$folder/work
tree=$work/tree
rm -rf "$work"
mkdir -p "$work"

step() { # told as it happens, and to whoever looks into the folder
  echo "$1" >"$folder/step"
  echo "==> $1"
}

# An image of a backports suite is one of the suite it is made for, which fills in what it lacks.
base=${suite%-backports}
deb() { echo "deb [signed-by=$keyring] $archive $1 main"; }

# Without what nobody reads there, and without waiting for the disk: it is thrown away when anything goes wrong.
bootstrap() {
  packages=$(printf '%s,' "$@")
  { deb "$base"; if [ "$suite" != "$base" ]; then deb "$suite"; fi; } >"$work/sources.list"
  mmdebstrap --mode=root --variant=minbase --format=directory --quiet --architectures=amd64 \
    --aptopt="APT::Default-Release \"$suite\"" --aptopt='APT::Install-Recommends "false"' \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt=force-unsafe-io \
    --include="${packages%,}" "$base" "$tree" - <"$work/sources.list"
}

# The kernel's package is unpacked beside that and never configured: its scripts would make an initrd of their own, in a
# minute. Drivers of what no virtual machine has stay out.
unpack_kernel() {
  sh "$here/kernel.sh" "$work/kernel" "$archive" "$keyring" "$base" "$suite" "$kernel"
}

step "packages"
unpack_kernel >"$work/kernel.log" 2>&1 &
kernel_job=$!
bootstrap "$@"
if ! wait "$kernel_job"; then
  cat "$work/kernel.log" >&2
  exit 1
fi

step "kernel"
cp -a "$work/kernel/tree/." "$tree/"
version=$(ls "$tree/lib/modules")
chroot "$tree" depmod "$version"
mv "$tree/boot/vmlinuz-$version" "$folder/kernel.new"
rm -rf "$tree/boot/"*
sh "$here/initrd.sh" "$tree" "$version" >"$folder/initrd.new"

step "settings"
chroot "$tree" dpkg-query --show >"$folder/packages"
echo "kernel $version" >>"$folder/packages"
cp "$folder/packages" "$tree/etc/labctl-image"
for script in settle.sh ${LABCTL_IMAGE_ALSO:-}; do sh "$here/$script" "$tree"; done

step "disk"
truncate -s "${size_mib}M" "$folder/disk.new"
mkfs.ext4 -q -F -L labctl -O ^has_journal -E lazy_itable_init=1,root_owner=0:0 -d "$tree" "$folder/disk.new"
for name in kernel initrd; do mv "$folder/$name.new" "$folder/$name"; done
mv "$folder/disk.new" "$folder/disk.ext4"
rm -rf "$work" "$folder/step"
