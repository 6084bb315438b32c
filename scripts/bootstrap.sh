#!/bin/sh
# Makes .venv, and first installs what that and the guest's build need: Debian's python comes without venv,
# and a fresh machine has no compiler. Everything else is labctl's own work (`labctl lab provision local`).
#
#   scripts/bootstrap.sh VENV [PYTHON]
set -eu
venv=$1
python=${2:-python3}

fail() {
  printf 'bootstrap: %s\n  mend: %s\n' "$1" "$2" >&2
  exit 3
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "installing $missing needs root, and there is no sudo" "as root: apt-get install $missing"
  fi
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@"
}

# Quiet when it works; all that apt said when it does not.
apt_install() {
  said=$(apt_get install --yes --no-install-recommends "$@" 2>&1) && return
  printf '%s\n' "$said" >&2
  return 1
}

command -v "$python" >/dev/null || fail "$python is not in PATH" "install Python 3.11 or newer, or: make PYTHON=/path/to/python3 ..."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$("$python" --version 2>&1) is too old" "install Python 3.11 or newer, or: make PYTHON=/path/to/python3 ..."

missing=
"$python" -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
for program in gcc ld; do
  command -v $program >/dev/null || { missing="$missing gcc binutils"; break; }
done
# Ansible's module for apt works through python3-apt. It would fetch that itself, but not wait for apt's lock; so it
# comes along here, unless it is the only thing that root would be asked for.
if [ -x /usr/bin/apt-get ] && ! /usr/bin/python3 -c 'import apt' 2>/dev/null; then
  if [ -n "$missing" ] || [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then missing="$missing python3-apt"; fi
fi

if [ -n "$missing" ]; then
  command -v apt-get >/dev/null || fail "missing:$missing" "install them with this system's package manager"
  echo "==> installing$missing"
  # The lists that are there may do; when they name what is gone, fetch them and try again.
  # shellcheck disable=SC2086 # a list of words
  apt_install $missing 2>/dev/null || { apt_get update >/dev/null && apt_install $missing; } ||
    fail "apt could not install$missing" "see apt's message above; check the network and /etc/apt/sources.list"
fi

"$python" -c 'import venv, ensurepip' 2>/dev/null ||
  fail "$(command -v "$python") has no venv" "make PYTHON=/usr/bin/python3 ..."
[ -x "$venv/bin/python" ] || { echo "==> making $venv"; "$python" -m venv "$venv"; }
