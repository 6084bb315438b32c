"""What every test shares: markers that skip with a reason that says what is missing, and the order of tests."""

import shutil
from functools import cache
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling, Scheduling
from xdist.workermanage import WorkerController

from labctl.lab.child import has_privilege
from tests.hosts.needs import missing_hosts

# How long an example takes says how busy the machine is; what hangs, pytest-timeout ends.
settings.register_profile("labctl", deadline=None)
settings.load_profile("labctl")


@cache
def missing_privilege() -> str | None:
    """Why this process cannot act as root, or None."""
    if has_privilege():
        return None
    if shutil.which("sudo") is None:
        return "needs root: not root, and there is no sudo"
    return "needs root: sudo asks for a password"


@cache
def missing_qemu() -> str | None:
    """Why no QEMU can be started, or None."""
    if shutil.which("qemu-system-x86_64") is None:
        return "needs QEMU: qemu-system-x86_64 is not in PATH (`labctl lab provision local`)"
    return None


REQUIREMENTS = {"root": missing_privilege, "qemu": missing_qemu, "hosts": missing_hosts}


CHAINS: dict[str, tuple[str, ...]] = {
    "hosts": ("roles_site", "roles_hosts", "monitoring_hosts", "provision_faults", "ssh_faults"),
    "beside": (
        *("kill", "roles_network", "provision_local", "ssh_ways", "cli_run", "wheel_real"),
        *("lock", "leftovers", "outages", "pairs_real", "paper_real"),
    ),
}
"""System tests that measure no times, and so need not be alone: those of a chain run one after the other, chains and unit tests
side by side. No two chains may want the same of the machine: the first has hosts of its own, which it sets up; the second also
uses the embedded lab, and the machine's packages.
"""
ALONE = "alone"
"""the chain of all others that are no unit tests: nothing else runs meanwhile"""
_CHAIN_OF = {f"test_{name}.py": chain for chain, names in CHAINS.items() for name in names}


def scope_of(nodeid: str) -> str:
    """What a test runs in a row with, on one worker: `unit` for those that need not."""
    if nodeid.startswith("tests/unit/"):
        return "unit"
    return _CHAIN_OF.get(nodeid.partition("::")[0].rpartition("/")[2], ALONE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Chains first, as nothing is longer, then what is slow; last what must be alone."""

    def place(item: pytest.Item) -> int:
        scope = scope_of(item.nodeid)
        if scope == "unit":
            return 1 if item.get_closest_marker("slow") else 2
        return 3 if scope == ALONE else 0

    items.sort(key=place)


class OneAfterTheOther(LoadScopeScheduling):  # type: ignore[misc]
    """Unit tests go to whichever worker is free, a chain to one worker; what must be alone to the last that is left, when all
    others have ended.
    """

    def _split_scope(self, nodeid: str) -> str:
        scope = scope_of(nodeid)
        return nodeid if scope == "unit" else scope

    def _reschedule(self, node: WorkerController) -> None:
        if next(iter(self.workqueue), None) != ALONE:
            super()._reschedule(node)
        elif node.shutting_down:
            return
        elif sum(not other.shutting_down for other in self.nodes) > 1:
            node.shutdown()  # it ends when it has run what it has
        elif len(self.nodes) == 1:
            super()._reschedule(node)

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker has ended: the last one may go on."""
        crashed: str | None = super().remove_node(node)
        if self.collection is not None:
            for other in self.nodes:
                self._reschedule(other)
        return crashed


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """For `--dist loadscope`, which `make test` asks for."""
    return OneAfterTheOther(config, log) if config.getoption("dist") == "loadscope" else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose marker asks for what this machine lacks, and say what that is."""
    for marker, missing in REQUIREMENTS.items():
        if item.get_closest_marker(marker) and (reason := missing()):
            pytest.skip(reason)
