#!/bin/sh
# clear.sh CACHE: ends builds whose owner is gone, and removes what they have made so far; says what that was.
set -eu
cache=$1
start_time() { awk '{sub(/.*\) /, ""); print $20}' "/proc/$1/stat" 2>/dev/null || :; }
for folder in "$cache"/*.new; do
  [ -d "$folder" ] || continue
  read -r maker owner <"$folder/who" || maker='' owner=''
  if [ -n "$owner" ] && [ "$(start_time "${owner%%:*}")" = "${owner##*:}" ]; then
    continue
  fi
  # Only a process that is building just this folder is ours to end.
  for process in $maker $(pgrep -f "build.sh $folder " || :); do
    if tr '\0' ' ' <"/proc/$process/cmdline" 2>/dev/null | grep -qF "${folder%.new}"; then
      kill -9 "$process" 2>/dev/null || :
    fi
  done
  rm -rf "$folder" "${folder%.new}.lock"
  echo "$folder"
done
