"""Transports: how the destination listens and what address the source is given."""

from collections.abc import Mapping
from typing import Any, Final, Protocol


class Transport(Protocol):
    """One way for a migration's bytes."""

    def listen_uri(self, address: str) -> str:
        """What the destination is told to listen on."""

    def connect_uri(self, address: str, incoming: Mapping[str, Any]) -> str:
        """What the source is told to connect to, from the destination's `query-migrate`."""


class Tcp:
    """QEMU chooses a free port, so none can be in use."""

    def listen_uri(self, address: str) -> str:
        """Port 0: QEMU takes a free one."""
        return f"tcp:{address}:0"

    def connect_uri(self, address: str, incoming: Mapping[str, Any]) -> str:
        """The port it took."""
        (listening, *_) = incoming["socket-address"]
        return f"tcp:{address}:{listening['port']}"


TRANSPORTS: Final[Mapping[str, Transport]] = {"tcp": Tcp()}
