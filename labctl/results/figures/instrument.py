"""What says how far to trust a trial's other figures: its clocks, its link, and how much its samples came late."""

from labctl.results.figures.seen import Seen, figure


@figure("float", "ms", source="samples of both sides: due_ns, request_ns")
def sample_lag_max_ms(seen: Seen) -> float | None:
    """The longest that a sample was taken after it was due, at either end. A reply that QEMU held back is not counted: the
    question was in time.
    """
    if seen.samples.empty:
        return None
    asked = seen.samples.dropna(subset=["due_ns", "request_ns"])
    lag_ns = (asked["request_ns"] - asked["due_ns"]).astype("int64")
    return float(lag_ns.max()) / 1e6 if len(lag_ns) else None


@figure("float", "ms", source="trial.json: clocks")
def clock_offset_source_ms(seen: Seen) -> float | None:
    """How far the time of day of the source's host was ahead of the observer's; negative: behind. No other figure rests on
    it; logs of several hosts, and Prometheus, do.
    """
    return _time_of_day_ahead_ms(seen, "source")


@figure("float", "ms", source="trial.json: clocks")
def clock_offset_destination_ms(seen: Seen) -> float | None:
    """The same of the destination's host."""
    return _time_of_day_ahead_ms(seen, "destination")


@figure("float", "ms", source="trial.json: clocks.offsets")
def clock_uncertainty_ms(seen: Seen) -> float | None:
    """Within what moments of the hosts are right on the observer's clock, drift during the trial included; 0 with one clock."""
    sides, anchors = ("source", "destination"), seen.record.clocks.anchors
    if any(seen.shift_ns(side) is None or not anchors.get(side) for side in sides):
        return None
    return max(seen.uncertainty_ns(side) for side in sides) / 1e6


@figure("float", "ms", source="trial.json: links.migration.rtt_idle_ms")
def link_rtt_ms(seen: Seen) -> float | None:
    """Round trip of the idle link as it was measured, both ways' `delay` included, when its setting was used first."""
    link = seen.record.links.get("migration")
    return link.rtt_idle_ms if link is not None else None


def _time_of_day_ahead_ms(seen: Seen, side: str) -> float | None:
    clocks = seen.record.clocks
    shift_ns = seen.shift_ns(side)
    theirs, observers = clocks.anchors.get(side), clocks.anchors.get("observer")
    if shift_ns is None or not theirs or not observers:
        return None
    if clocks.one_clock:
        return 0.0
    ahead = [of[-1].realtime_ns - of[-1].monotonic_ns for of in (theirs, observers)]
    return (ahead[0] - ahead[1] - shift_ns) / 1e6
