"""Processes that a test started, found by the state root in their environment: no other is ever touched."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from labctl.node import procfs

VARIABLE = "LABCTL_STATE_ROOT"
AGENT_FILE = "agent-"


@dataclass(frozen=True)
class Process:
    """A process, named for good by its pid and start time."""

    pid: int
    start_time: int
    argv: tuple[str, ...]

    @property
    def alive(self) -> bool:
        return 0 != procfs.start_time(self.pid) == self.start_time

    @property
    def is_agent(self) -> bool:
        return self._agent_file is not None

    @property
    def _agent_file(self) -> int | None:
        """Where it stands in the command line; what follows is RUN ROLE and how long it waits."""
        return next((at for at, argument in enumerate(self.argv) if AGENT_FILE in argument), None)

    @property
    def is_qemu(self) -> bool:
        return "qemu-system" in self.argv[0]

    @property
    def role(self) -> str:
        """Of an agent: a, b, observer, clean. Of a QEMU: source, destination, or what it was tried for."""
        if self.is_qemu:
            name = self.argv[self.argv.index("-name") + 1]
            return name.removeprefix("guest=labctl-").partition(",")[0]
        assert self._agent_file is not None, f"neither an agent nor a QEMU: {self.argv}"
        return self.argv[self._agent_file + 2]

    @property
    def network(self) -> str:
        """Its network namespace."""
        return str(Path(f"/proc/{self.pid}/ns/net").readlink())

    def kill(self) -> None:
        if self.alive:
            with suppress(ProcessLookupError):  # it may end by itself meanwhile
                os.kill(self.pid, signal.SIGKILL)


def of_state_root(root: Path) -> list[Process]:
    """The living processes that were started with this state root in their environment."""
    return list(_of_state_root(root))


def qemu_of(root: Path, role: str) -> Process:
    """The one QEMU of that role."""
    (found,) = [p for p in of_state_root(root) if p.is_qemu and p.role == role]
    return found


def _of_state_root(root: Path) -> Iterator[Process]:
    wanted = f"{VARIABLE}={root}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            argv = (entry / "cmdline").read_bytes().decode().split("\0")[:-1]
        except OSError:
            continue
        process = Process(int(entry.name), procfs.start_time(int(entry.name)), tuple(argv))
        if argv and process.alive:
            yield process


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 20) -> None:
    """Wait for a condition that another process brings about."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


def wait_until_gone(root: Path, timeout_s: float = 20) -> None:
    """Wait until none of a state root's processes lives."""
    deadline = time.monotonic() + timeout_s
    while left := of_state_root(root):
        assert time.monotonic() < deadline, f"still there after {timeout_s} s: {left}"
        time.sleep(0.05)
