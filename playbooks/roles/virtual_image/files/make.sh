#!/bin/sh
# make.sh FOLDER OWNER ...: build.sh's way to an image that is there whole or not at all.
#
# It is made in FOLDER.new and then renamed. Who else wants the same image waits; who cleans up (clear.sh) finds in
# FOLDER.new/who the process to end and its owner (`pid:start time`, or empty).
set -eu
folder=$1 owner=$2
shift 2
here=$(dirname "$(readlink -f "$0")")
exec 9>"$folder.lock"
flock 9
[ ! -e "$folder/disk.ext4" ] || exit 0
rm -rf "$folder.new"
mkdir -p "$folder.new"
echo "$$ ${owner:-$$:$(awk '{sub(/.*\) /, ""); print $20}' "/proc/$$/stat")}" >"$folder.new/who"
# One process below which all of it stands, so that who ends that one ends all, and no mount stays.
unshare --mount --pid --fork --kill-child --mount-proc setpriv --pdeathsig KILL \
  sh "$here/build.sh" "$folder.new" "$@" &
build=$!
trap 'kill -9 $build 2>/dev/null; rm -rf "$folder.new"' EXIT INT TERM HUP
wait "$build"
trap - EXIT
rm -f "$folder.new/who"
rm -rf "$folder"
mv -T "$folder.new" "$folder"
rm -f "$folder.lock"
