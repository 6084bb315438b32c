"""What every test shares: markers that skip with a reason that says what is missing, and the order of tests."""

import os
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling, Scheduling

from tests.hosts.needs import missing_hosts

# How long an example takes says how busy the machine is; what hangs, pytest-timeout ends.
settings.register_profile("labctl", deadline=None)
settings.load_profile("labctl")


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


ON_HOSTS_OF_THEIR_OWN = tuple(
    f"tests/system/test_{name}.py"
    for name in ("roles_site", "roles_hosts", "monitoring_hosts", "provision_faults")
)
"""tests that set up hosts which they made, and measure no times: they need not be alone, only one after the other. Not more
of them than are surely over before the unit tests are
"""


def scope_of(nodeid: str) -> str:
    """What a test runs in a row with, on one worker: `unit` for those that need not."""
    if nodeid.startswith("tests/unit/"):
        return "unit"
    return "hosts" if nodeid.startswith(ON_HOSTS_OF_THEIR_OWN) else "machine"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that may need the machine's own network or QEMU come last, when other workers have nothing left to do; the longest
    come first, so that none of them still runs then.
    """

    def place(item: pytest.Item) -> int:
        scope = scope_of(item.nodeid)
        if scope == "unit":
            return 1 if item.get_closest_marker("slow") else 2
        return 0 if scope == "hosts" else 3

    items.sort(key=place)


class OneAfterTheOther(LoadScopeScheduling):  # type: ignore[misc]
    """Unit tests go to whichever worker is free; of the others, each kind all to one."""

    def _split_scope(self, nodeid: str) -> str:
        scope = scope_of(nodeid)
        return nodeid if scope == "unit" else scope


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """For `--dist loadscope`, which `make test` asks for."""
    return OneAfterTheOther(config, log) if config.getoption("dist") == "loadscope" else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose marker asks for what this machine lacks, and say what that is."""
    for marker, missing in REQUIREMENTS.items():
        if item.get_closest_marker(marker) and (reason := missing()):
            pytest.skip(reason)
