"""A state root of their own for all system tests, so that a lab in use on the same machine is never touched."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labctl.lab import Lab, Pair, open_lab
from labctl.lab.embedded import INTERFACE
from tests.system.processes import VARIABLE, of_state_root, wait_until_gone


@contextmanager
def own_state_root() -> Iterator[Path]:
    """A new state root in the environment; at the end nothing may be left in it, nor of its processes."""
    if os.geteuid() != 0:
        pytest.skip(
            "needs to be root, sudo is not enough: the test reads and ends root's processes"
        )
    root = Path(tempfile.mkdtemp(prefix="labctl-"))
    root.chmod(0o755)
    before, interfaces_before = os.environ.get(VARIABLE), interfaces()
    os.environ[VARIABLE] = str(root)
    try:
        yield root
        assert_nothing_left(root)
        assert not {name for name in interfaces() - interfaces_before if name.startswith(INTERFACE)}
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
        for process in of_state_root(root):
            process.kill()
        shutil.rmtree(root)


def assert_nothing_left(root: Path) -> None:
    """No process and no state."""
    wait_until_gone(root)
    assert {path.name for path in root.iterdir()} <= {"host.lock", "host.shared"}


def interfaces() -> set[str]:
    """Those of this network namespace."""
    return {name for _, name in socket.if_nameindex()}


@pytest.fixture
def state_root() -> Iterator[Path]:
    """A state root for one test."""
    with own_state_root() as root:
        yield root


@pytest.fixture(scope="session")
def lab_root() -> Iterator[Path]:
    """The state root of `open_pair`."""
    with own_state_root() as root:
        yield root


@pytest.fixture(scope="session")
def open_pair(lab_root: Path) -> Iterator[Lab]:
    """An open lab for the tests that need a pair and not a run."""
    with open_lab("local", "system-test") as lab:
        yield lab


@pytest.fixture
def pair(open_pair: Lab) -> Pair:
    """Its pair, whole."""
    (name,) = open_pair.pairs
    return open_pair.reopen(name) if open_pair.pairs[name].lost else open_pair.pairs[name]
