"""The QEMUs that tests use: the host's own, and those that the role `qemu_beside` puts beside it."""

import re
import shutil
import subprocess
from functools import cache

import pytest

SUITES = {"10.0": "trixie", "11.1": "trixie-backports"}
"""by version, the Debian suite it comes from; see playbooks/roles/qemu_beside"""
VERSIONS = ("7.2", *SUITES)
_OWN = "qemu-system-x86_64"
_BESIDE = "/opt/labctl/qemu/{suite}/qemu-system-x86_64"


@cache
def find_qemu(version: str) -> str | None:
    """The path of a QEMU of that version, or None."""
    for path in (shutil.which(_OWN), _BESIDE.format(suite=SUITES.get(version, ""))):
        if path is not None and shutil.which(path) and _version(path) == version:
            return path
    return None


def need_qemu(version: str) -> str:
    """The same for a test, which is skipped where there is none, and says what is missing."""
    path = find_qemu(version)
    if path is None:
        pytest.skip(
            f"no QEMU {version} here: ansible-playbook -i inventory/local playbooks/qemu_beside.yml"
        )
    return path


def _version(path: str) -> str | None:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\d+\.\d+)", said)
    return found[1] if found else None
