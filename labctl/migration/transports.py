"""Transports: how the destination is told to listen, and where the source finds it.

Each lets the destination's kernel choose a free port, so that no two machines of a host can want the same. They differ in who
knows which one it chose.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from labctl.migration.bench import Bench


class Transport(Protocol):
    """One way for a migration's bytes."""

    def port(self, bench: Bench) -> int:
        """The port on which the destination listens, now that it does."""


class Tcp:
    """QEMU says by itself where it listens."""

    def port(self, bench: Bench) -> int:
        """As in `Transport`."""
        (listening, *_) = bench.qmp("destination", "query-migrate")["socket-address"]
        return int(listening["port"])


class Rdma:
    """QEMU takes port 0 too, and tells nobody what it got; the kernel does."""

    def port(self, bench: Bench) -> int:
        """As in `Transport`."""
        return int(bench.ends["destination"].node.call("rdma.listening")["port"])


TRANSPORTS: Final[Mapping[str, Transport]] = {"tcp": Tcp(), "rdma": Rdma()}


def uri(transport: str, address: str, port: int = 0) -> str:
    """An address in QEMU's notation; port 0 to listen on any that is free."""
    return f"{transport}:{f'[{address}]' if ':' in address else address}:{port}"
