"""A lab whose pairs are fake."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from labctl.campaign.capabilities import Capabilities
from labctl.errors import LabctlError
from labctl.lab.fake.node import FakeChannel
from labctl.lab.fake.script import Asked, FakePair, Script
from labctl.lab.node import Node
from labctl.lab.pair import End, Lab, Pair

Item = TypeVar("Item")

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
    rdma=False,
)


class FakeLab(Lab):
    """A lab of fake pairs, which remembers what it was asked."""

    def __init__(
        self,
        scripts: Iterable[Script],
        pairs: Sequence[str],
        capabilities: Capabilities,
        openings: Iterable[LabctlError | None],
    ) -> None:
        self.asked: list[Asked] = []
        self.channels: list[FakeChannel] = []
        """of every pair that was ever opened"""
        self._scripts = _Shared(scripts)
        self._openings = _Shared(openings)
        self._capabilities = capabilities
        super().__init__("fake", {name: _Opener(self, name) for name in pairs})

    def open_pair(self, name: str) -> Pair:
        """Open a pair, or fail as `openings` says."""
        error = next(self._openings, None)
        if error is not None:
            raise error
        shared = FakePair(name, self._scripts, self.asked)
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
    scripts: Iterable[Script] = (),
    *,
    pairs: Sequence[str] = ("a-b",),
    capabilities: Capabilities = CAPABILITIES,
    openings: Iterable[LabctlError | None] = (),
) -> FakeLab:
    """A lab of fake nodes; enter it to open its pairs.

    Args:
        scripts: of the attempts at trials in the order they begin, over all pairs; those behind complete
        pairs: the pairs' names
        capabilities: of every host
        openings: how each opening of a pair fails, in their order; None and those behind succeed
    """
    return FakeLab(scripts, pairs, capabilities, openings)


@dataclass(frozen=True)
class _Opener:
    lab: FakeLab
    name: str

    def __call__(self) -> Pair:
        return self.lab.open_pair(self.name)


class _Shared(Generic[Item]):
    """An iterator that several threads may draw from."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()

    def __iter__(self) -> "_Shared[Item]":
        return self

    def __next__(self) -> Item:
        with self._lock:
            return next(self._items)
