"""What can be wrong with a host: each of these spoils one that is up, for good."""

import shlex

from tests.hosts.commands import HostsError
from tests.hosts.host import Host
from tests.hosts.tree import USER

PASSWORD = "of the user lab"
_PYTHON = "/usr/bin/python3.11"


def remove_sudo(host: Host) -> None:
    """There is no sudo."""
    _do(host, "rm /usr/bin/sudo")


def forbid_sudo(host: Host) -> None:
    """There is a sudo, and the user lab may not use it."""
    _do(host, f"rm /etc/sudoers.d/{USER}")


def ask_for_password(host: Host) -> None:
    """The user lab may sudo with `PASSWORD`; the login stays by key."""
    _do(host, f"echo '{USER} ALL=(ALL) ALL' >/etc/sudoers.d/{USER}")
    _do(host, f"echo {shlex.quote(f'{USER}:{PASSWORD}')} | chpasswd")


def remove_python(host: Host) -> None:
    """There is no Python of any version."""
    _do(host, "rm /usr/bin/python3 /usr/bin/python3.11")


def age_python(host: Host, version: str = "3.7") -> None:
    """Its Python is as new as that: it says so wherever it is asked, to `-V` and in `sys`. The language stays 3.11's."""
    major, minor = version.split(".")
    ages = f"import sys; sys.version_info = ({major}, {minor}, 3, 'final', 0); sys.version = '{version}.3 (old)'"
    script = f"""
        test -e {_PYTHON}.real || mv {_PYTHON} {_PYTHON}.real
        printf '#!/bin/sh\\ncase "$1" in -V|--version) echo Python {version}.3; exit;; esac\\n' >{_PYTHON}
        printf 'exec {_PYTHON}.real "$@"\\n' >>{_PYTHON}
        chmod 755 {_PYTHON}
        echo {shlex.quote(ages)} >/usr/lib/python3/dist-packages/sitecustomize.py
        rm -f /usr/lib/python3.11/sitecustomize.py
    """
    _do(host, script)


def limit_memlock(host: Host, kib: int = 64) -> None:
    """Who logs in over SSH may lock so much memory and no more."""
    lines = "".join(f"{who} - memlock {kib}\\n" for who in ("root", USER))
    _do(host, f"printf '{lines}' >/etc/security/limits.d/memlock.conf")


def fill(host: Host, folder: str) -> None:
    """The file system that holds this folder is full; what was in the folder is out of sight."""
    quoted = shlex.quote(folder)
    _do(host, f"mkdir -p {quoted} && mount -t tmpfs -o size=64k,mode=1777 full {quoted}")
    _do(host, f"cat /dev/zero >{quoted}/full 2>/dev/null || true")


def _do(host: Host, script: str) -> None:
    done = host.run(f"set -e\n{script}")
    if done.returncode != 0:
        raise HostsError(f"{host.name}: {done.stderr.strip()}")
