#!/bin/sh
# qemu_beside.sh DIRECTORY REPOSITORY KEYRING PROGRAM SUITES PACKAGE...
#
# Puts PROGRAM and all it needs, of the last of SUITES (the others fill in), into DIRECTORY/tree, and a program of the same
# name into DIRECTORY that runs it there. apt decides what is needed, by a state of its own in which nothing is installed;
# what the host has, and what it remembers of its packages, is not touched.
set -eu
directory=$1 repository=$2 keyring=$3 program=$4 suites=$5
shift 5
umask 022
mkdir -p "$(dirname "$directory")"
work=$(mktemp -d "$directory.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
apt=$work/apt
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$work/tree"
: >"$apt/status"
cat >"$apt/debian.sources" <<END
Types: deb
URIs: $repository
Suites: $suites
Components: main
Signed-By: $keyring
END
cat >"$apt/apt.conf" <<END
Dir::Etc::SourceList "$apt/debian.sources";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives/";
Dir::Log "$apt";
APT::Architectures "amd64";
APT::Default-Release "${suites##* }";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
END
# --error-on=any: a suite that could not be read must not end as an older QEMU under the newer one's name.
apt-get --config-file="$apt/apt.conf" --quiet --error-on=any update
apt-get --config-file="$apt/apt.conf" --quiet --yes --download-only install "$@"

for package in "$apt"/archives/*.deb; do
  dpkg-deb --extract "$package" "$work/tree"
done
# Nothing else of the tree is ever run; without these no file of it is worth more to somebody than the host's own.
find "$work/tree/usr/bin" "$work/tree/usr/sbin" -type f,l ! -name "$program" -delete
find "$work/tree" -perm /6000 -exec chmod a-s {} +
rm -rf "$work/tree/usr/share/man" "$work/tree/usr/share/locale" "$work/tree/etc" "$work/tree/var" "$apt"

# QEMU looks for a folder qemu-bundle beside the program of its process, and takes modules from there. That program is the tree's
# loader, so both stand beside QEMU; else it would take the host's modules, and end at the first that is of another version.
cp -L "$work/tree/usr/lib64/ld-linux-x86-64.so.2" "$work/tree/usr/bin/"
mkdir "$work/tree/usr/bin/qemu-bundle"
ln -s ../.. "$work/tree/usr/bin/qemu-bundle/usr"
cat >"$work/$program" <<END
#!/bin/sh
tree=$directory/tree
exec "\$tree/usr/bin/ld-linux-x86-64.so.2" --inhibit-cache --library-path "\$tree/usr/lib/x86_64-linux-gnu" --argv0 "\$0" \\
  "\$tree/usr/bin/$program" -L "\$tree/usr/share/qemu" -L "\$tree/usr/share/seabios" -L "\$tree/usr/lib/ipxe/qemu" "\$@"
END
chmod 755 "$work/$program"
rm -rf "$directory"
mv -T "$work" "$directory"
"$directory/$program" --version
