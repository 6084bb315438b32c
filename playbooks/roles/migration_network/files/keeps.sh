#!/bin/sh
# keeps.sh INTERFACE: what keeps this host's network, in words: `networkd FILE` (FILE: what the interface has from it,
# or nothing), `ifupdown`, or `none`.
set -eu
if [ -d /run/systemd/netif/links ]; then
  index=$(cat "/sys/class/net/$1/ifindex" 2>/dev/null || echo none)
  echo "networkd $(sed -n 's/^NETWORK_FILE=//p' "/run/systemd/netif/links/$index" 2>/dev/null)"
elif [ -x /usr/sbin/ifup ] || [ -x /sbin/ifup ] && grep -q '^source.*/interfaces\.d' /etc/network/interfaces; then
  echo ifupdown
else
  echo none
fi
