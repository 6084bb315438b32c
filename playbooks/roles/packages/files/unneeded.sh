#!/bin/sh
# Prints which of the named packages nothing else on this host would need, were they not asked for.
# apt decides, on a copy of its marks: nothing is changed, and root is not needed.
set -eu
marks=$(mktemp)
trap 'rm -f "$marks"' EXIT
[ ! -e /var/lib/apt/extended_states ] || cat /var/lib/apt/extended_states >"$marks"
apt-mark -o Dir::State::extended_states="$marks" auto "$@" >/dev/null
apt-get --simulate autoremove -o Dir::State::extended_states="$marks" \
  -o APT::AutoRemove::RecommendsImportant=false -o APT::AutoRemove::SuggestsImportant=false |
  sed -n 's/^Remv \([^ :]*\).*/\1/p' |
  while read -r package; do
    for ours in "$@"; do
      if [ "$package" = "$ours" ]; then echo "$package"; fi
    done
  done
