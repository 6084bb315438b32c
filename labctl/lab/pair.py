"""A pair of hosts, one trial at a time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from labctl.campaign.capabilities import Capabilities
from labctl.campaign.models import LinkSpec
from labctl.lab import waits
from labctl.lab.node import Node
from labctl.lab.watch import Watch

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
    assigned: str | None = None
    """address with prefix length, where the lab gives it to the interface; a host of its own has one"""
    run_as: dict[str, Any] = field(default_factory=dict)
    """whom QEMU may run as: `uid`, `gid`, `groups`"""
    beats: Node | None = None
    """the node on that host that hears its guest's beats, where the observer is not on every host"""
    management: str = ""
    """its address for the observer and the relays of other hosts"""


@dataclass(frozen=True)
class LinkState:
    """How the link was set for a trial, and what it was measured to do."""

    spec: LinkSpec
    shaping: dict[str, Any] | None
    """how; None where it is as it was"""
    measured: dict[str, dict[str, Any]]
    """by direction: goodput and wire rate in bits/s, round trips idle and loaded in ms"""
    bare: "LinkState | None" = None
    """the same link before it was given a delay or a loss; None where it has neither"""

    def deviation(self, direction: Direction) -> float | None:
        """How far the measured wire rate is from the rate asked: -0.05 is 5 % below. None where none was.

        Of a link with a delay or a loss, the bare one's: what a TCP stream reaches under them is TCP's doing.
        """
        if self.bare is not None:
            return self.bare.deviation(direction)
        asked = self.spec.bandwidth_bits_per_s
        wire = self.measured[direction]["wire_bits_per_s"]
        return None if asked is None or wire is None else float(wire) / asked - 1

    def added_ms(self, direction: Direction) -> float | None:
        """By how much the delay has made the idle round trip longer than the bare link's. None where none was asked."""
        if self.bare is None:
            return None
        with_it, without = self.measured[direction], self.bare.measured[direction]
        return float(with_it["rtt_idle_ms"]) - float(without["rtt_idle_ms"])


@dataclass
class Pair:
    """Two hosts, the link between them, and the observer of the guest's beats."""

    name: str
    a: End
    b: End
    observer: Node | None = None
    """None: each trial's destination observes"""
    observer_address: str | None = None
    """where relays find it; None when it is on every host"""
    shared_host: bool = False
    one_clock: bool = False
    """both hosts, the observer and the controller read the same CLOCK_MONOTONIC: they are one machine"""
    hang_up: Callable[[], None] = lambda: None
    """closes what the nodes were reached over"""
    _links: dict[LinkSpec, LinkState] = field(default_factory=dict)
    _current: LinkSpec | None = None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All its nodes."""
        nodes = (self.a.node, self.b.node, self.a.beats, self.b.beats, self.observer)
        return tuple(node for node in nodes if node is not None)

    def close(self) -> None:
        """End all its nodes. Safe again."""
        for node in self.nodes:
            node.close()
        self.hang_up()

    @property
    def lost(self) -> bool:
        """Whether one of its nodes is gone."""
        return any(node.lost for node in self.nodes)

    def ends(self, direction: Direction) -> tuple[End, End]:
        """Source and destination of a trial that runs in this direction."""
        return (self.a, self.b) if direction == "forward" else (self.b, self.a)

    def watch(self, direction: Direction) -> Watch:
        """Who observes a trial in this direction: the pair's observer, else the destination."""
        source, destination = self.ends(direction)
        sides = {"source": source.beats, "destination": destination.beats}
        relays = {side: node for side, node in sides.items() if node is not None}
        if self.observer is not None:
            return Watch(self.observer, relays, self.observer_address)
        return Watch(relays.pop("destination"), relays, destination.management)

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
        """Shape the link as asked, and again when it went away since; the first time a setting is used it is tried whether
        its packets pass, and measured what it carries, both ways. One with a delay or a loss is tried without them before.
        """
        if spec != self._current or not self.link_is_up():
            new = spec not in self._links
            bare = self.set_link(spec.bare) if new and spec != spec.bare else None
            self._current = None
            shaping: dict[str, Any] | None = None
            mtus = {}
            for end in (self.a, self.b):
                call, interface = end.node.call, end.interface
                set_to = call(
                    "link.configure", interface=interface, address=end.assigned, mtu=spec.mtu
                )
                mtus[end.host] = set_to["mtu"]
                shaping = call(
                    "link.shape",
                    interface=interface,
                    bits_per_s=spec.bandwidth_bits_per_s,
                    delay_s=spec.delay_s,
                    loss=spec.loss,
                )
            if new:
                for way in ("forward", "reverse") if bare is None else ():
                    self.try_packets(way, mtus[self.ends(way)[0].host])
                measured = {
                    way: self._measure(*self.ends(way), spec) for way in ("forward", "reverse")
                }
                self._links[spec] = LinkState(spec, shaping, measured, bare)
            self._current = spec
        return self._links[spec]

    def try_packets(self, way: Direction, mtu: int) -> None:
        """Whether packets of that size pass over the link. NodeError when they do not."""
        source, destination = self.ends(way)
        port = destination.node.call("packets.serve", address=destination.address)["port"]
        source.node.call("packets.send", address=destination.address, port=port, mtu=mtu)

    @staticmethod
    def _measure(source: End, destination: End, spec: LinkSpec) -> dict[str, Any]:
        round_trip_s = 2 * spec.delay_s
        port = destination.node.call("link.serve", address=destination.address)["port"]
        measured: dict[str, Any] = source.node.call(
            "link.measure",
            wait_s=waits.LINK_MEASUREMENT_S + waits.ROUND_TRIPS * round_trip_s,
            unless=[destination.node.over],
            interface=source.interface,
            address=destination.address,
            port=port,
            bits_per_s=spec.bandwidth_bits_per_s,
            round_trip_s=round_trip_s,
        )
        return measured
