"""A lab: its pairs, opened and closed side by side."""

import threading
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol, Self

from labctl.errors import LabctlError, LabError, LabHeld, NodeError, NodeLost, WaitTimeout
from labctl.lab.pair import Pair
from labctl.lab.together import attempt_together, do_together


class Opener(Protocol):
    """Opens one pair of a lab; used again when a node was lost."""

    def __call__(self) -> Pair:
        """LabError, LabHeld, NodeError, NodeLost, WaitTimeout."""


class Lab:
    """The pairs of a lab, opened for one run. A context manager: leaving it closes every node."""

    def __init__(
        self, name: str, openers: Mapping[str, Opener], inventory: str | None = None
    ) -> None:
        """`inventory`: what finds it again; left out: its name."""
        self.name = name
        self._inventory = inventory or name
        self._openers = openers
        self._lock = threading.Lock()
        self._closed = False
        self._open_pairs: dict[str, Pair] = {}

    @property
    def pairs(self) -> dict[str, Pair]:
        """Those that are open now, in the lab's order."""
        with self._lock:
            opened = self._open_pairs
            return {name: opened[name] for name in self._openers if name in opened}

    def __enter__(self) -> Self:
        """Open every pair. LabError, LabHeld, with the faults of all that cannot be opened; then none stays open."""
        try:
            _, faults = attempt_together(
                {name: partial(self._open, name) for name in self._openers}
            )
            if faults:
                raise _as_one(faults, of=len(self._openers))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def reopen(self, name: str) -> Pair:
        """Close what is left of a pair and open it anew. LabError when that fails, or the lab is closed."""
        with self._lock:
            old = self._open_pairs.pop(name, None)
        _close(old)
        return self._open(name)

    def _open(self, name: str) -> Pair:
        try:
            pair = self._openers[name]()
        except (NodeError, NodeLost, WaitTimeout) as error:
            # What fails before a trial has begun makes the lab unusable.
            raise LabError(error.fault, place=error.place, mend=error.mend) from error
        with self._lock:
            if not self._closed:
                self._open_pairs[name] = pair
                return pair
        _close(pair)
        raise LabError(f"pair {name} is not opened: the lab was closed")

    def close(self) -> None:
        """End every node, and open none any more. Safe at any moment, from any thread, and again."""
        with self._lock:
            self._closed = True
            pairs, self._open_pairs = self._open_pairs, {}
        do_together({name: partial(_close, pair) for name, pair in pairs.items()})

    def environment(self) -> dict[str, Any]:
        """What can change a result, for `environment.json`."""
        return {
            "lab": self.name,
            "inventory": self._inventory,
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


def _close(pair: Pair | None) -> None:
    if pair is not None:
        pair.close()


def _as_one(faults: Mapping[str, Exception], *, of: int) -> Exception:
    """One error for all pairs that cannot be opened, each named. A fault of labctl's own comes before any."""
    for fault in faults.values():
        if len(faults) == 1 or not isinstance(fault, LabctlError):
            return fault
    kind = LabHeld if all(isinstance(fault, LabHeld) for fault in faults.values()) else LabError
    each = "".join(f"\npair {name}: {fault}" for name, fault in faults.items())
    return kind(f"{len(faults)} of {of} pairs cannot be opened:" + each.replace("\n", "\n  "))
