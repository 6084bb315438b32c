"""A lab whose pairs are fake."""

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeVar

from labctl.campaign.capabilities import Capabilities
from labctl.errors import LabctlError
from labctl.lab.fake.node import FakeChannel
from labctl.lab.fake.script import Asked, FakePair, Script
from labctl.lab.lab import Lab
from labctl.lab.node import Node
from labctl.lab.pair import End, Pair

Item = TypeVar("Item")

Scripts = Iterable[Script] | Callable[[str], Script]
Openings = Iterable[LabctlError | None] | Callable[[str], LabctlError | None]

ROLES: Final = ("a", "b", "observer")
CAPABILITIES: Final = Capabilities(
    host="fake",
    qemu_version="0.0.0",
    qemu_path="/nowhere/fake-qemu",
    accelerator="fake",
    machine_type="fake",
    migration_capabilities=["events", "multifd", "postcopy-preempt", "postcopy-ram"],
    refused={},
    userfaultfd=True,
    memory_available_bytes=2**40,
    cpus=64,
    netem_refused=None,
    rdma=False,
)


class FakeLab(Lab):
    """A lab of fake pairs, which remembers what it was asked."""

    def __init__(
        self,
        scripts: Scripts,
        pairs: Sequence[str],
        capabilities: Capabilities,
        openings: Openings,
    ) -> None:
        self.asked: list[Asked] = []
        self.channels: list[FakeChannel] = []
        """of every pair that was ever opened"""
        self._script = _in_order(scripts, Script())
        self._refusal = _in_order(openings, None)
        self._capabilities = capabilities
        super().__init__("fake", {name: partial(self.open_pair, name) for name in pairs})

    def open_pair(self, name: str) -> Pair:
        """Open a pair, or fail as `openings` says."""
        error = self._refusal(name)
        if error is not None:
            raise error
        shared = FakePair(name, partial(self._script, name), self.asked)
        channels = {role: FakeChannel(shared, role) for role in ROLES}
        shared.channels.update(channels)
        self.channels += channels.values()
        nodes = {role: Node(role, channel) for role, channel in channels.items()}
        for node in nodes.values():
            node.hello = node.call("hello", lock=False, share=False)
        ends = {
            role: End(role, nodes[role], "fake0", "192.0.2.1", "/nowhere/guest.elf", self._capabilities, {})
            for role in ("a", "b")
        }  # fmt: skip
        return Pair(name, ends["a"], ends["b"], nodes["observer"], one_clock=True)


def fake_lab(
    scripts: Scripts = (),
    *,
    pairs: Sequence[str] = ("a-b",),
    capabilities: Capabilities = CAPABILITIES,
    openings: Openings = (),
) -> FakeLab:
    """A lab of fake nodes; enter it to open its pairs.

    Args:
        scripts: of the attempts at trials in the order they begin, over all pairs (those behind complete); or a function
            that is given the pair's name at the beginning of each
        pairs: the pairs' names
        capabilities: of every host
        openings: how each opening of a pair fails, in their order (None and those behind succeed); or such a function
    """
    return FakeLab(scripts, pairs, capabilities, openings)


def _in_order(
    items: Iterable[Item] | Callable[[str], Item], default: Item
) -> Callable[[str], Item]:
    """A function that several threads may ask for the next item, whatever their pair."""
    if callable(items):
        return items
    left, lock = iter(items), threading.Lock()

    def following(_pair: str) -> Item:
        with lock:
            return next(left, default)

    return following
