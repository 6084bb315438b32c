"""What convergence aids did, by QEMU's own counters. Empty where the aid was not asked for."""

from typing import Any

from labctl.results.figures.seen import Seen, figure


@figure("int", "%", source="trial.json: evidence.auto_converge")
def throttle_max_percent(seen: Seen) -> int | None:
    """The most that auto-converge was seen to take from the vCPUs."""
    return _seen(seen, "auto_converge", "throttle_max_percent")


@figure("int", "bytes", source="trial.json: evidence.multifd")
def multifd_bytes(seen: Seen) -> int | None:
    """Bytes that went over multifd's connections, by QEMU's count."""
    return _seen(seen, "multifd", "bytes")


@figure("int", "", source="trial.json: evidence.multifd")
def multifd_connections(seen: Seen) -> int | None:
    """Connections of multifd that were seen, by the source's threads, which are listed every 50 ms."""
    return _seen(seen, "multifd", "connections")


@figure("int", "", source="trial.json: evidence.xbzrle")
def xbzrle_pages(seen: Seen) -> int | None:
    """Pages whose difference to what the cache holds was worked out, overflows included."""
    return _seen(seen, "xbzrle", "pages")


@figure("int", "bytes", source="trial.json: evidence.xbzrle")
def xbzrle_bytes(seen: Seen) -> int | None:
    """Bytes of those differences; a page that overflowed counts whole."""
    return _seen(seen, "xbzrle", "bytes")


@figure("int", "", source="trial.json: evidence.xbzrle")
def xbzrle_cache_misses(seen: Seen) -> int | None:
    """Pages sent whole because the cache did not hold what was sent of them before."""
    return _seen(seen, "xbzrle", "cache_misses")


@figure("int", "", source="trial.json: evidence.xbzrle")
def xbzrle_overflows(seen: Seen) -> int | None:
    """Pages sent whole because their difference was larger."""
    return _seen(seen, "xbzrle", "overflows")


@figure("int", "", source="trial.json: evidence.zero_copy")
def zero_copy_missed(seen: Seen) -> int | None:
    """Passes in which the kernel copied though zero-copy was asked for."""
    return _seen(seen, "zero_copy", "missed")


def _seen(seen: Seen, aid: str, what: str) -> int | None:
    found: Any = seen.record.evidence.get(aid, {}).get(what)
    return found if isinstance(found, int) else None
