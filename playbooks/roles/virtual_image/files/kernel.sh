#!/bin/sh
# kernel.sh FOLDER ARCHIVE KEYRING BASE SUITE PACKAGE
#
# Unpacks the kernel that PACKAGE (linux-image-amd64) stands for into FOLDER/tree, without the drivers of what no virtual
# machine has. apt finds and checks it, by a state of its own.
set -eu
folder=$1 archive=$2 keyring=$3 base=$4 suite=$5 package=$6
mkdir -p "$folder/lists/partial" "$folder/archives/partial" "$folder/tree/usr" "$folder/debs"
: >"$folder/status"
for each in $(printf '%s\n' "$base" "$suite" | uniq); do
  echo "deb [signed-by=$keyring] $archive $each main"
done >"$folder/sources.list"
cat >"$folder/apt.conf" <<END
Dir::Etc::SourceList "$folder/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "$folder";
Dir::State::status "$folder/status";
Dir::Cache "$folder";
Dir::Cache::archives "$folder/archives/";
Dir::Log "$folder";
APT::Architectures "amd64";
APT::Default-Release "$suite";
APT::Sandbox::User "root";
Acquire::Languages "none";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
END
apt="--config-file=$folder/apt.conf --quiet"
# shellcheck disable=SC2086
apt-get $apt --error-on=any update
# shellcheck disable=SC2086
real=$(apt-cache $apt depends --no-recommends --no-suggests "$package" |
  sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
[ -n "$real" ] || { echo "$package of $suite stands for no kernel" >&2; exit 1; }
cd "$folder/debs"
# shellcheck disable=SC2086
apt-get $apt download "$real"
dpkg-deb --fsys-tarfile "$folder/debs/"*.deb | tar --extract --directory "$folder/tree" --no-same-owner \
  --exclude='*/drivers/gpu' --exclude='*/drivers/media' --exclude='*/drivers/staging' --exclude='*/drivers/iio' \
  --exclude='*/drivers/net/wireless' --exclude='*/drivers/net/ethernet' --exclude='*/drivers/isdn' --exclude='*/sound' \
  --exclude='*/drivers/usb' --exclude='*/drivers/hwmon' --exclude='*/drivers/input' --exclude='*/drivers/bluetooth' \
  --exclude='*/drivers/scsi' --exclude='*/drivers/mtd' --exclude='*/drivers/hid' --exclude='*/usr/share' \
  --exclude='*/drivers/infiniband/hw'
# Trees in which /lib is /usr/lib; packages of older suites still name the former.
if [ -d "$folder/tree/lib" ]; then
  mkdir -p "$folder/tree/usr/lib"
  cp -a "$folder/tree/lib/." "$folder/tree/usr/lib/"
  rm -rf "$folder/tree/lib"
fi
