"""A number for each session of hosts, its own as long as it lives; everything it makes carries the number in its name.

A session holds its number by an abstract socket's name, which has just the reach of what the number names (bridges, addresses,
rules: one network namespace, whatever else two sessions do not share) and is given up by the kernel when the holder dies.
"""

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "labctl-hosts"
_ALONE = f"{_PREFIX}-network"
_ALONE_WITHIN_S = 20.0
COUNT = 256
MANAGEMENT, MIGRATION = "mgmt0", "mig0"
"""a host's own interfaces"""


@dataclass(frozen=True)
class Number:
    """A session's number, and what is named by it. Hosts are counted from 0."""

    value: int

    @property
    def bridge(self) -> str:
        """The management network's bridge, which is also this machine's interface on it."""
        return f"lth{self.value}"

    @property
    def migration_bridge(self) -> str:
        """The bridge of the network that this machine is not on."""
        return f"lth{self.value}m"

    @property
    def table(self) -> str:
        """The nftables table that lets hosts reach package mirrors."""
        return f"labctl_hosts_{self.value}"

    @property
    def network(self) -> str:
        """The management network; both are of 198.18.0.0/15, which is set aside for tests (RFC 2544)."""
        return f"198.18.{self.value}.0/24"

    @property
    def migration_network(self) -> str:
        """The migration network."""
        return f"198.19.{self.value}.0/24"

    @property
    def controller(self) -> str:
        """This machine's address on the management network."""
        return f"198.18.{self.value}.1"

    def cable(self, host: int) -> str:
        """This machine's end of a host's management cable."""
        return f"lth{self.value}c{host}"

    def migration_cable(self, host: int) -> str:
        """This machine's end of a host's migration cable."""
        return f"lth{self.value}x{host}"

    def address(self, host: int) -> str:
        """A host's address on the management network."""
        return f"198.18.{self.value}.{host + 11}"

    def migration_address(self, host: int) -> str:
        """The address that a host is to have on the migration network, with its prefix length."""
        return f"198.19.{self.value}.{host + 11}/24"

    def machine(self, host: str) -> str:
        """A host's name among this machine's containers and control groups."""
        return f"{_PREFIX}-{self.value}-{host}"


class Claim:
    """A number that this process has for itself until it closes the claim, or dies."""

    def __init__(self, number: Number, held: socket.socket) -> None:
        self.number = number
        self._held = held

    def close(self) -> None:
        """Give it up."""
        self._held.close()


def try_claim(value: int) -> Claim | None:
    """Claim a number; None when a session has it."""
    held = _bind(f"{_PREFIX}-{value}")
    return Claim(Number(value), held) if held else None


def claimed() -> set[int]:
    """The numbers of the sessions that live."""
    held = set()
    for line in Path("/proc/net/unix").read_text().splitlines():
        name = line.rpartition(f" @{_PREFIX}-")[2]
        if name.isdecimal():
            held.add(int(name))
    return held


@contextmanager
def alone() -> Iterator[None]:
    """While this is held, no other session changes what sessions share: the machine's forwarding."""
    deadline = time.monotonic() + _ALONE_WITHIN_S
    while (held := _bind(_ALONE)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"@{_ALONE}: held by another session for {_ALONE_WITHIN_S:g} s")
        time.sleep(0.02)
    with held:
        yield


def _bind(name: str) -> socket.socket | None:
    held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        held.bind(f"\0{name}")
    except OSError as error:
        held.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None
    return held
