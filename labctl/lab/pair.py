"""A pair of hosts, one trial at a time, and the lab that holds its pairs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from labctl.campaign.capabilities import Capabilities
from labctl.campaign.models import LinkSpec
from labctl.lab import waits
from labctl.lab.node import Node

Direction = str
"""`forward` or `reverse`"""

_LINK_SECONDS = 0.7
"""how long the goodput of one direction is measured"""


@dataclass
class End:
    """One host of a pair, as an end of a migration."""

    host: str
    node: Node
    interface: str
    address: str
    kernel: str
    """path of the guest's image on that host"""
    capabilities: Capabilities
    probe: dict[str, Any]
    """what the host and its QEMU said of themselves"""


@dataclass(frozen=True)
class LinkState:
    """How the link was set for a trial, and what it was measured to do."""

    spec: LinkSpec
    shaping: dict[str, Any]
    measured: dict[str, dict[str, Any]]
    """by direction: goodput and wire rate in bits/s, round trips idle and loaded in ms"""

    def deviation(self, direction: Direction) -> float:
        """How far the measured wire rate is from the rate asked: -0.05 is 5 % below."""
        wire = float(self.measured[direction]["wire_bits_per_s"])
        return wire / self.spec.bandwidth_bits_per_s - 1


@dataclass
class Pair:
    """Two hosts, the link between them, and the observer of the guest's beats."""

    name: str
    a: End
    b: End
    observer: Node
    caller: dict[str, Any] = field(default_factory=dict)
    shared_host: bool = False
    _links: dict[LinkSpec, LinkState] = field(default_factory=dict)
    _current: LinkSpec | None = None

    @property
    def nodes(self) -> tuple[Node, Node, Node]:
        """Its three nodes."""
        return self.a.node, self.b.node, self.observer

    @property
    def lost(self) -> bool:
        """Whether one of its nodes is gone."""
        return any(node.lost for node in self.nodes)

    def ends(self, direction: Direction) -> tuple[End, End]:
        """Source and destination of a trial that runs in this direction."""
        return (self.a, self.b) if direction == "forward" else (self.b, self.a)

    def capabilities(self) -> tuple[Capabilities, Capabilities]:
        """Of its first host and of its second."""
        return self.a.capabilities, self.b.capabilities

    def set_link(self, spec: LinkSpec) -> LinkState:
        """Shape the link as asked; the first time a setting is used it is measured, both ways."""
        if spec != self._current:
            shaping = {}
            for end in (self.a, self.b):
                end.node.call(
                    "link.configure",
                    interface=end.interface,
                    address=f"{end.address}/30",
                    mtu=spec.mtu,
                )
                shaping = end.node.call(
                    "link.shape", interface=end.interface, bits_per_s=spec.bandwidth_bits_per_s
                )
            self._current = spec
            if spec not in self._links:
                measured = {way: self._measure(*self.ends(way)) for way in ("forward", "reverse")}
                self._links[spec] = LinkState(spec, shaping, measured)
        return self._links[spec]

    @staticmethod
    def _measure(source: End, destination: End) -> dict[str, Any]:
        port = destination.node.call("link.serve", address=destination.address)["port"]
        measured: dict[str, Any] = source.node.call(
            "link.measure",
            wait_s=waits.LINK_MEASUREMENT_S,
            interface=source.interface,
            address=destination.address,
            port=port,
            seconds=_LINK_SECONDS,
        )
        return measured


class Opener(Protocol):
    """Opens one pair of a lab; used again when a node was lost."""

    def __call__(self) -> Pair:
        """LabError, LabHeld, NodeError, NodeLost, WaitTimeout."""


class Lab:
    """The pairs of a lab, opened for one run. A context manager: leaving it closes every node."""

    def __init__(
        self, name: str, openers: dict[str, Opener], on_close: Callable[[], None] | None = None
    ) -> None:
        self.name = name
        self._openers = openers
        self._on_close = on_close
        self.pairs: dict[str, Pair] = {}

    def __enter__(self) -> Self:
        try:
            for name, opener in self._openers.items():
                self.pairs[name] = opener()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def reopen(self, name: str) -> Pair:
        """Close what is left of a pair and open it anew."""
        self._close(self.pairs.pop(name, None))
        self.pairs[name] = self._openers[name]()
        return self.pairs[name]

    def close(self) -> None:
        """End every node. Safe again."""
        while self.pairs:
            self._close(self.pairs.popitem()[1])
        if self._on_close is not None:
            self._on_close()

    @staticmethod
    def _close(pair: Pair | None) -> None:
        for node in pair.nodes if pair else ():
            node.close()

    def environment(self) -> dict[str, Any]:
        """What can change a result, for `environment.json`."""
        return {
            "lab": self.name,
            "pairs": {
                name: {
                    "shared_host": pair.shared_host,
                    "ends": {
                        end.host: {"address": end.address, "interface": end.interface, **end.probe}
                        for end in (pair.a, pair.b)
                    },
                }
                for name, pair in self.pairs.items()
            },
        }
