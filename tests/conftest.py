"""What every test shares: markers that skip with a reason that says what is missing, and the order of tests."""

import os
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling, Scheduling

from tests.hosts.needs import missing_hosts


@cache
def missing_privilege() -> str | None:
    """Why this process cannot act as root, or None."""
    if os.geteuid() == 0:
        return None
    if shutil.which("sudo") is None:
        return "needs root: not root, and there is no sudo"
    asked = subprocess.run(["sudo", "-n", "true"], capture_output=True, timeout=10, check=False)
    return None if asked.returncode == 0 else "needs root: sudo asks for a password"


@cache
def missing_qemu() -> str | None:
    """Why no QEMU can be started, or None."""
    if shutil.which("qemu-system-x86_64") is None:
        return "needs QEMU: qemu-system-x86_64 is not in PATH (`labctl lab provision local`)"
    return None


REQUIREMENTS = {"root": missing_privilege, "qemu": missing_qemu, "hosts": missing_hosts}


def takes_the_machine(nodeid: str) -> bool:
    """Whether a test may need the machine's own network or QEMU, and so has to be the only one that runs."""
    return not nodeid.startswith("tests/unit/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Such tests come last, when other workers have nothing left to do; long unit tests first, so that none still runs then."""

    def place(item: pytest.Item) -> int:
        if takes_the_machine(item.nodeid):
            return 2
        return 0 if item.get_closest_marker("slow") else 1

    items.sort(key=place)


class OneAfterTheOther(LoadScopeScheduling):  # type: ignore[misc]
    """Unit tests go to whichever worker is free; those that take the machine all to one."""

    def _split_scope(self, nodeid: str) -> str:
        return "machine" if takes_the_machine(nodeid) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """For `--dist loadscope`, which `make test` asks for."""
    return OneAfterTheOther(config, log) if config.getoption("dist") == "loadscope" else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose marker asks for what this machine lacks, and say what that is."""
    for marker, missing in REQUIREMENTS.items():
        if item.get_closest_marker(marker) and (reason := missing()):
            pytest.skip(reason)
