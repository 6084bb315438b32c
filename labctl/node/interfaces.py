"""A host's own interfaces: which one a migration crosses, and what a run changes of it and gives back.

On the embedded lab the link ends with its namespace. On a host of a lab the interface stays, so what it was before stands in
the live state: the agent sets it back when it ends, and after a death of the agent whoever cleans does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Callable

from .commands import run
from .protocol import RequestError
from .shaping import MOST_SEGMENTS, hand_over, segments_of, unshape

Kept = dict[str, Any]
"""of an interface, before a run: ``interface mtu gso_max_segs``"""


def find(interface: str | None, address: str | None, management: str | None) -> dict[str, Any]:
    """The interface a migration crosses, by its name or by its address, else the one that has the address `management`.

    :return: ``interface``, ``address``, ``mtu``, and whether it ``carries_management``
    :raise RequestError: ``interface`` when there is none, or it has no address
    """
    shown = json.loads(run("ip", "-j", "address", "show"))
    by_address = {
        entry["local"]: one for one in shown for entry in one["addr_info"] if "local" in entry
    }
    names = {one["ifname"]: one for one in shown}
    wanted = (address or "").split("/")[0]
    if interface is not None:
        found = names.get(interface)
    else:
        found = by_address.get(wanted or str(management))
    if found is None:
        raise RequestError("interface", _nothing(interface, wanted or management, sorted(names)))
    addresses = [entry["local"] for entry in found["addr_info"] if entry.get("scope") == "global"]
    if wanted and wanted not in addresses:
        raise RequestError("interface", f"{found['ifname']} has not the address {wanted}")
    if not addresses:
        raise RequestError("interface", f"{found['ifname']} has no address")
    return {
        "interface": found["ifname"],
        "address": wanted or addresses[0],
        "mtu": found["mtu"],
        "carries_management": by_address.get(str(management)) is found,
    }


def _nothing(interface: str | None, address: str | None, names: Sequence[str]) -> str:
    there = f"there are {', '.join(names)}"
    if interface is not None:
        return f"there is no interface {interface}; {there}"
    return f"no interface has the address {address}; {there}"


class Keeper:
    """Remembers what a run's interfaces were like, in the live state by `store`, and sets them back."""

    def __init__(self, store: Callable[[list[Kept]], None]) -> None:
        self._store = store
        self._kept: list[Kept] = []

    def keep(self, interface: str) -> None:
        """Remember an interface, before anything of it is changed. Again: nothing.

        :raise RequestError: ``interface`` when somebody else shapes it already
        """
        if any(kept["interface"] == interface for kept in self._kept):
            return
        (shown,) = json.loads(run("ip", "-j", "link", "show", interface))
        qdiscs = json.loads(run("tc", "-j", "qdisc", "show", "dev", interface))
        for qdisc in qdiscs:
            # Those the kernel gives by itself have the handle 0.
            if qdisc.get("root") and qdisc["handle"] != "0:":
                raise RequestError(
                    "interface",
                    f"{interface} has a queueing discipline of somebody else's ({qdisc['kind']}); "
                    f"mend: tc qdisc del dev {interface} root, or use a campaign with `bandwidth: none`",
                )
        segments = segments_of(interface)
        self._kept.append({"interface": interface, "mtu": shown["mtu"], "gso_max_segs": segments})
        self._store(self._kept)

    def segments(self, interface: str) -> int:
        """How many packets TCP might hand the interface as one before the run; one that is not kept is a new one."""
        kept = (one["gso_max_segs"] for one in self._kept if one["interface"] == interface)
        return next(kept, MOST_SEGMENTS)

    def restore(self) -> None:
        """Set all of them back."""
        restore(self._kept)
        self._kept = []


def restore(kept: Sequence[Kept]) -> None:
    """Set interfaces back to what they were: the kernel's own queueing discipline, the MTU, what TCP hands over."""
    for one in kept:
        unshape(one["interface"])
        with suppress(RequestError):  # the interface is gone
            run("ip", "link", "set", one["interface"], "mtu", str(one["mtu"]))
            hand_over(one["interface"], one.get("gso_max_segs", MOST_SEGMENTS))
