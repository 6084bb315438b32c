"""Who observes the beats of a trial, and how they come there from other hosts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labctl.lab import waits
from labctl.lab.node import Node


@dataclass(frozen=True)
class Watching:
    """An observer that listens."""

    pipes: Mapping[str, str]
    """of each side: where its QEMU writes its beats to"""
    offsets: Mapping[str, dict[str, int]]
    """of each side that a relay brings: `offset_ns` and `uncertainty_ns` of its host's clock"""
    anchor: Mapping[str, Any]
    """the observer's answer, with the anchor of its clocks"""


@dataclass(frozen=True)
class Watch:
    """The observer of a trial, and its relays."""

    observer: Node
    relays: Mapping[str, Node] = field(default_factory=dict)
    """of each side that is not on the observer's host: the node that brings its beats"""
    address: str | None = None
    """where the relays find the observer"""

    def begin(self, nonce: int) -> Watching:
        """Let the observer wait for the beats of the guest with this nonce, and the relays reach it.

        Raises NodeError (`relay` where one cannot), NodeLost, WaitTimeout.
        """
        began = self.observer.call(
            "observe.start", nonce=nonce, door_address=self.address, relayed=list(self.relays)
        )
        pipes = dict(began["paths"])
        for side, relay in self.relays.items():
            asked = {"nonce": nonce, "side": side, "address": self.address, **began["door"]}
            pipes[side] = relay.call("relay.start", **asked)["path"]
        offsets = self.observer.call(
            "observe.clocks",
            wait_s=waits.CLOCKS_S + waits.ANSWER_GRACE_S,
            timeout_s=waits.CLOCKS_S,
        )
        return Watching(pipes, offsets, began)
