"""What a machine must have before hosts can be made on it."""

import os
import shutil
from functools import cache
from pathlib import Path

PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "nft": "nftables",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
"""by program, the Debian package it is in; `playbooks/tests.yml` installs them"""


@cache
def missing_hosts() -> str | None:
    """Why no hosts can be made here, or None."""
    if os.geteuid() != 0:
        return "needs to be root, sudo is not enough: hosts are containers that the test itself makes and kills"
    lacking = {package for program, package in PROGRAMS.items() if not shutil.which(program)}
    if lacking:
        return f"needs {', '.join(sorted(lacking))} (`ansible-playbook -i inventory/local playbooks/tests.yml`)"
    if not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists():
        return "needs debian-archive-keyring: Debian's packages are verified with it"
    return None
