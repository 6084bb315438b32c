#!/bin/sh
# Prints what is there, a line each: `package NAME` for those that are whole, `user NAME`, `group NAME`.
set -eu
dpkg-query --show --showformat='${db:Status-Abbrev}${Package}\n' | sed -n 's/^[ih]i./package /p' | sort -u
getent passwd | sed 's/^\([^:]*\):.*/user \1/'
getent group | sed 's/^\([^:]*\):.*/group \1/'
