"""What shows that an option was in force while memory moved, beside what QEMU says of its settings. Pure.

A capability that is set and read back may still do nothing: the kernel copies where zero-copy was asked for, QEMU 7.2 takes
XBZRLE beside multifd and never encodes a page. So what an option is for has to be seen too; where it is not, the trial has failed.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from labctl.campaign.models import AlgorithmSpec, Transport
from labctl.campaign.specs import RDMA

_RDMA_COUNTERS: Final = ("rdma_tx_bytes", "rdma_tx_packets")
_MULTIFD_SENDER: Final = re.compile(r"(multifdsend_|mig/src/send_)\d+")
"""threads of the source, one a connection: before QEMU 8.2, and since"""
_PREEMPT_CHANNEL: Final = re.compile(r"(fault-fast|mig/dst/preempt)")
"""the thread of the destination that receives requested pages"""


@dataclass(frozen=True)
class Course:
    """What a migration left behind that can be evidence."""

    reply: Mapping[str, Any]
    """the source's last `query-migrate` that speaks of memory"""
    throttle_max: int
    """the highest `cpu-throttle-percentage` that was sampled"""
    source_threads: frozenset[str]
    destination_threads: frozenset[str]
    second_pass: bool
    """a second pass over the memory had begun while the source ran"""
    rdma: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """what the source's RDMA port had counted at first and in the end, by the counter; of those it has"""

    @property
    def ram(self) -> Mapping[str, Any]:
        """The reply's part on memory."""
        found: Mapping[str, Any] = self.reply.get("ram", {})
        return found


@dataclass(frozen=True)
class Evidence:
    """What was seen of one option; `fault` where it says that the option was not in force."""

    seen: dict[str, Any]
    fault: str | None = None


def evidence(
    spec: AlgorithmSpec, course: Course, transport: Transport = "tcp"
) -> dict[str, Evidence]:
    """What was seen of each option that was asked for, by its name, and of RDMA."""
    asked: dict[str, tuple[bool, Callable[[AlgorithmSpec, Course], Evidence]]] = {
        "rdma": (transport == RDMA, _rdma),
        "multifd": (spec.multifd_channels > 0, _multifd),
        "zero_copy": (spec.zero_copy, _zero_copy),
        "xbzrle": (spec.xbzrle_cache_bytes is not None, _xbzrle),
        "auto_converge": (spec.auto_converge, _auto_converge),
        "dirty_limit": (spec.dirty_limit_bytes_per_s is not None, _dirty_limit),
        "preempt": (spec.preempt, _preempt),
    }
    return {name: look(spec, course) for name, (on, look) in asked.items() if on}


def course_of(
    final: Mapping[str, Any],
    samples: Iterable[Mapping[str, Any]],
    events: Iterable[Mapping[str, Any]],
) -> Course:
    """What can be evidence, from a trial's raw data."""
    reply: Mapping[str, Any] = final.get("source", {}).get("migrate", {})
    throttle = 0
    last: Mapping[str, Any] = {}
    threads: dict[str, set[str]] = {"source": set(), "destination": set()}
    rdma: dict[str, tuple[int, int]] = {}
    for sample in samples:
        if sample["kind"] == "host":
            threads[sample["side"]].update(_thread_names(sample.get("threads")))
            if sample["side"] == "source":
                for name in _RDMA_COUNTERS:
                    value = sample.get(name)
                    if value is not None:
                        low, high = rdma.get(name, (value, value))
                        rdma[name] = (min(low, value), max(high, value))
        elif sample["side"] == "source":
            said = sample["raw"] or {}
            throttle = max(throttle, said.get("cpu-throttle-percentage") or 0)
            last = said if "ram" in said else last
    passes = [
        event["data"].get("pass", 0)
        for event in events
        if event["name"] == "MIGRATION_PASS" and event["side"] == "source"
    ]
    return Course(
        # A migration that was cancelled forgets its figures.
        reply=reply if "ram" in reply else last,
        throttle_max=throttle,
        source_threads=frozenset(threads["source"]),
        destination_threads=frozenset(threads["destination"]),
        # The last pass begins when the source has stopped.
        second_pass=max(passes, default=0) > 2,
        rdma=rdma,
    )


def _thread_names(text: str | None) -> Iterable[str]:
    """Of a sample: `name/tid` each."""
    return (name.rpartition("/")[0] for name in json.loads(text or "{}"))


def _rdma(_spec: AlgorithmSpec, course: Course) -> Evidence:
    seen = {name.removeprefix("rdma_"): last - first for name, (first, last) in course.rdma.items()}
    if seen and not any(seen.values()):
        return Evidence(seen, "the source's RDMA port has sent nothing")
    # What a port does not count, nobody can tell.
    return Evidence(seen)


def _multifd(_spec: AlgorithmSpec, course: Course) -> Evidence:
    senders = {name for name in course.source_threads if _MULTIFD_SENDER.fullmatch(name)}
    sent = course.ram.get("multifd-bytes", 0)
    seen = {"bytes": sent, "connections": len(senders)}
    if not sent:
        return Evidence(seen, "multifd's connections have sent nothing")
    # Connections are told only: threads are listed every 50 ms, and one may be met before it has its name.
    return Evidence(seen)


def _zero_copy(_spec: AlgorithmSpec, course: Course) -> Evidence:
    missed = course.ram.get("dirty-sync-missed-zero-copy")
    if missed is None:
        return Evidence({}, "QEMU does not say whether zero-copy was used")
    fault = (
        f"the kernel copied what zero-copy was asked for, in {missed} passes" if missed else None
    )
    return Evidence({"missed": missed}, fault)


def _xbzrle(spec: AlgorithmSpec, course: Course) -> Evidence:
    cache = course.reply.get("xbzrle-cache")
    if cache is None:
        return Evidence({}, "QEMU tells nothing of an XBZRLE cache")
    seen = {
        name: cache.get(key)
        for name, key in {
            "cache_bytes": "cache-size",
            "bytes": "bytes",
            "pages": "pages",
            "cache_misses": "cache-miss",
            "overflows": "overflow",
            "encoding_rate": "encoding-rate",
        }.items()
    }
    if cache.get("cache-size") != spec.xbzrle_cache_bytes:
        return Evidence(seen, f"XBZRLE's cache is {cache.get('cache-size')} bytes")
    tried = sum(cache.get(key) or 0 for key in ("pages", "cache-miss", "overflow"))
    if course.second_pass and spec.kind == "precopy" and not tried:
        return Evidence(seen, "XBZRLE has not tried to encode a page")
    return Evidence(seen)


def _auto_converge(_spec: AlgorithmSpec, course: Course) -> Evidence:
    # A migration that converges by itself is never throttled.
    return Evidence({"throttle_max_percent": course.throttle_max})


def _dirty_limit(_spec: AlgorithmSpec, course: Course) -> Evidence:
    keys = {
        "throttle_time_us": "dirty-limit-throttle-time-per-round",
        "ring_full_time_us": "dirty-limit-ring-full-time",
    }
    return Evidence({name: course.reply.get(key) for name, key in keys.items()})


def _preempt(_spec: AlgorithmSpec, course: Course) -> Evidence:
    channel = any(_PREEMPT_CHANNEL.fullmatch(name) for name in course.destination_threads)
    # The thread lives from the switch to the end: QEMU itself fails where the channel cannot be made.
    return Evidence({"channel": channel, "page_requests": course.ram.get("postcopy-requests")})
