"""What leaves an interface is shaped: its rate by a token bucket, delay and loss by netem.

A token bucket's burst decides what the shaping is worth: too small and the rate is not reached, too large and whole
segmentation-offload packets pass at once. It is a quarter of a millisecond of the rate, within the kernel's timer slack,
and never below one offloaded packet's worth of segments that a 1500 byte MTU needs.

netem is the root and the token bucket below it: a packet is lost or held first, and then waits for the rate. So the queue in
front of the rate is the bucket's own, bounded as without a delay. The other way round packets would wait for the rate in
netem's queue, whose limit has to hold all that is under way, and a stream would fill that: at 100 ms some hundred ms of
queue. The root's counters, which samples and measurements read, are of what has left both; its drops are those of either.

To netem a packet of segmentation offload is one packet: one throw of the dice for up to 44 of them. And where a bucket below
netem cuts it up, kernels without "netem: account for backlog updates from child qdisc" (6.13) count pieces that never leave, until
netem takes no more. So with netem TCP hands over one packet at a time (`gso_max_segs`), which costs the sender CPU.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, NamedTuple

from .commands import run
from .protocol import RequestError

MOST_SEGMENTS = 65_535
"""`gso_max_segs` of a new interface"""
_MIN_BURST_BYTES = 32 * 1024
_BURST_S = 0.00025
_BIG_BURST_BITS_PER_S = 5_000_000_000
_BIG_BURST_BYTES = 1024 * 1024
_QUEUE_LATENCY_MS = 50
_LEAST_HELD = 1000
_HELD_PACKET_BYTES = 256
"""netem counts packets, and acknowledgements and page requests are small ones"""
_UNSHAPED_BITS_PER_S = 100_000_000_000
"""no faster interface is thought of where no rate is asked"""


class Shape(NamedTuple):
    """What is asked of an interface."""

    bits_per_s: int | None
    """None: as it is"""
    delay_s: float
    loss: float
    """share of packets"""


def burst_bytes(bits_per_s: int) -> int:
    """The token bucket's burst for a rate."""
    if bits_per_s >= _BIG_BURST_BITS_PER_S:
        return _BIG_BURST_BYTES
    return max(_MIN_BURST_BYTES, int(bits_per_s / 8 * _BURST_S))


def held_packets(bits_per_s: int | None, delay_s: float) -> int:
    """How many packets netem must be able to hold, so that it drops none by itself: its own limit, 1000, is 12 ms at 1 Gbit/s.

    A stream has at most what the link carries in a round trip and the bucket's queue under way, all of it here at worst.
    """
    under_way_s = 2 * delay_s + _QUEUE_LATENCY_MS / 1000
    under_way_bytes = (bits_per_s or _UNSHAPED_BITS_PER_S) / 8 * under_way_s
    return max(_LEAST_HELD, round(under_way_bytes / _HELD_PACKET_BYTES))


def shape(interface: str, asked: Shape, segments: int) -> dict[str, Any] | None:
    """Shape what leaves an interface; says how. None: it is shaped no more.

    :param segments: the `gso_max_segs` that it has when netem does not need another
    """
    unshape(interface)
    if not (asked.delay_s or asked.loss):
        hand_over(interface, segments)
        return None if asked.bits_per_s is None else _add_bucket(interface, asked.bits_per_s)
    hand_over(interface, 1)
    limit = held_packets(asked.bits_per_s, asked.delay_s)
    run("tc", "qdisc", "add", "dev", interface, "root", "handle", "1:", "netem", "limit", str(limit),
        *(("delay", f"{asked.delay_s * 1e6:.12g}us") if asked.delay_s else ()),
        *(("loss", f"{asked.loss * 100:g}%") if asked.loss else ()))  # fmt: skip
    below = None if asked.bits_per_s is None else _add_bucket(interface, asked.bits_per_s, "1:")
    return {
        "qdisc": "netem",
        "delay_s": asked.delay_s,
        "loss": asked.loss,
        "limit_packets": limit,
        "below": below,
    }


def _add_bucket(interface: str, bits_per_s: int, parent: str | None = None) -> dict[str, Any]:
    burst = burst_bytes(bits_per_s)
    place = ("root",) if parent is None else ("parent", parent)
    run("tc", "qdisc", "add", "dev", interface, *place, "tbf", "rate", f"{bits_per_s}bit",
        "burst", str(burst), "latency", f"{_QUEUE_LATENCY_MS}ms")  # fmt: skip
    return {
        "qdisc": "tbf",
        "rate_bits_per_s": bits_per_s,
        "burst_bytes": burst,
        "latency_ms": _QUEUE_LATENCY_MS,
    }


def unshape(interface: str) -> None:
    """Leave an interface to the kernel's own queueing discipline."""
    with suppress(RequestError):  # it has none of its own
        run("tc", "qdisc", "del", "dev", interface, "root")


def segments_of(interface: str) -> int:
    """How many packets TCP may hand an interface as one."""
    (shown,) = json.loads(run("ip", "-j", "-d", "link", "show", interface))
    return int(shown.get("gso_max_segs", MOST_SEGMENTS))


def hand_over(interface: str, segments: int) -> None:
    """Let TCP hand an interface so many packets as one. It holds for connections that are made from now on."""
    if segments_of(interface) != segments:
        run("ip", "link", "set", interface, "gso_max_segs", str(segments))


def describe(interface: str) -> dict[str, Any]:
    """An interface, its queueing discipline and what netem has below it, as iproute2 shows them, counters included."""
    links = json.loads(run("ip", "-j", "-s", "link", "show", interface))
    qdiscs = json.loads(run("tc", "-j", "-s", "qdisc", "show", "dev", interface))
    root = next((qdisc for qdisc in qdiscs if qdisc.get("root")), None)
    below = [qdisc for qdisc in qdiscs if root and qdisc.get("parent") == root["handle"]]
    return {"link": links[0], "qdisc": root, "below": below[0] if below else None}


def netem_refused() -> str | None:
    """What this host's kernel says when it is asked to delay packets; None: it does.

    It is asked in a network namespace that ends with the question. A module that is there is loaded by it.
    """
    try:
        run("unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
    except RequestError as error:
        return error.message.rpartition(": ")[2].rstrip(".")
    return None
