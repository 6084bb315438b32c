"""A pair of hosts, one trial at a time."""

from dataclasses import dataclass, field
from typing import Any

from labctl.campaign.capabilities import Capabilities
from labctl.campaign.models import LinkSpec
from labctl.lab import waits
from labctl.lab.node import Node

Direction = str
"""`forward` or `reverse`"""


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
    one_clock: bool = False
    """both hosts and the observer read the same CLOCK_MONOTONIC: they are one machine"""
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

    @property
    def link(self) -> LinkState | None:
        """How the link is set now; None before the first trial, and after a setting that failed."""
        return self._links[self._current] if self._current is not None else None

    def link_is_up(self) -> bool:
        """Whether both ends of the link carry packets."""
        return all(
            end.node.call("link.state", interface=end.interface)["up"] for end in (self.a, self.b)
        )

    def set_link(self, spec: LinkSpec) -> LinkState:
        """Shape the link as asked, and again when it went away since; the first time a setting is used it is measured,
        both ways.
        """
        if spec != self._current or not self.link_is_up():
            self._current = None
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
            if spec not in self._links:
                measured = {
                    way: self._measure(*self.ends(way), spec.bandwidth_bits_per_s)
                    for way in ("forward", "reverse")
                }
                self._links[spec] = LinkState(spec, shaping, measured)
            self._current = spec
        return self._links[spec]

    @staticmethod
    def _measure(source: End, destination: End, bits_per_s: int) -> dict[str, Any]:
        port = destination.node.call("link.serve", address=destination.address)["port"]
        measured: dict[str, Any] = source.node.call(
            "link.measure",
            wait_s=waits.LINK_MEASUREMENT_S,
            interface=source.interface,
            address=destination.address,
            port=port,
            bits_per_s=bits_per_s,
        )
        return measured
