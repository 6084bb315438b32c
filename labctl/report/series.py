"""The time course of a trial, on one grid of small windows relative to `migrate`.

Nothing is interpolated: a window holds what was seen in it, and is empty where nothing was.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from labctl.results.figures.blackout import switched
from labctl.results.figures.seen import Floats, Ints, Seen
from labctl.results.figures.work import baseline_rate
from labctl.results.raw import PAGE_BYTES

BEFORE_NS = 500_000_000
WINDOWS_MS = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


def time_course(seen: Seen, most: int = 600) -> dict[str, Any] | None:
    """What the report draws of a trial; None when its migration never began.

    `t0_s` and `dt_s` are the start of the first window and the width of all, on a clock that is 0 at
    `migrate`; windows are 20 ms, or wider so that there are about `most` at most. Series, one value
    a window: `work` (MiB/s written by the guest; beats/s of a guest that is to write nothing, and
    then `work_is_beats`), `remaining` (MiB, by QEMU), `wire` (Mbit/s out of the source). Besides:
    `phases` and `passes`.
    """
    span, start = seen.migration, seen.record.times.migrate_start_ns
    if span is None or start is None:
        return None
    first = span.start_ns - BEFORE_NS
    length_ms = (span.end_ns - first) / 1e6
    width_ms = next((w for w in WINDOWS_MS if length_ms / w <= most), WINDOWS_MS[-1])
    width = width_ms * 1_000_000
    count = max(1, (span.end_ns - first) // width)
    edges = first + width * np.arange(count + 1, dtype=np.int64)
    idle = not baseline_rate(seen)
    return {
        "t0_s": (first - start) / 1e9,
        "dt_s": width / 1e9,
        "work": _compact(_beats_per_s(seen, edges) if idle else _work_mib_per_s(seen, edges)),
        "work_is_beats": idle,
        "remaining": _compact(_remaining_mib(seen, edges)),
        "wire": _compact(_wire_mbit_per_s(seen, edges)),
        "phases": list(_phases(seen, start)),
        "passes": list(_passes(seen, start)),
    }


def _work_mib_per_s(seen: Seen, edges: Ints) -> Floats:
    if not len(seen.beats):
        return np.full(edges.size - 1, np.nan)
    pages = np.diff(seen.beats.work_at(edges))
    return np.maximum(pages, 0) * (PAGE_BYTES / 2**20) / (np.diff(edges) / 1e9)


def _beats_per_s(seen: Seen, edges: Ints) -> Floats:
    counts, _ = np.histogram(seen.beats.t_ns, edges)
    return counts / (np.diff(edges) / 1e9)


def _remaining_mib(seen: Seen, edges: Ints) -> Floats:
    """The last reply of each window that told it, while the migration was on."""
    replies = seen.replies
    if "remaining_bytes" not in replies:
        return np.full(edges.size - 1, np.nan)
    replies = replies[
        ~replies["status"].isin(["none", "setup", "completed", "cancelled", "failed"])
    ]
    return _last_in_window(replies, "remaining_bytes", edges) / 2**20


def _wire_mbit_per_s(seen: Seen, edges: Ints) -> Floats:
    """From the last counter before a window to the last in it.

    Where samples are further apart than windows, the rate between two is that of all windows that
    they span: it was the mean over them.
    """
    rows = seen.sampled("host", "source")
    rates = np.full(edges.size - 1, np.nan)
    if "qdisc_sent_bytes" not in rows:
        return rates
    rows = rows.dropna(subset=["qdisc_sent_bytes"])
    t_ns, sent = rows["reply_ns"].to_numpy(np.int64), rows["qdisc_sent_bytes"].to_numpy(np.int64)
    last = np.searchsorted(t_ns, edges, side="right") - 1
    filled = np.flatnonzero((last[1:] > last[:-1]) & (last[:-1] >= 0))
    now, before = last[filled + 1], last[filled]
    rates[filled] = (sent[now] - sent[before]) * 8e3 / np.maximum(1, t_ns[now] - t_ns[before])
    return pd.Series(rates).bfill().to_numpy(np.float64)


def _last_in_window(rows: pd.DataFrame, column: str, edges: Ints) -> Floats:
    rows = rows.dropna(subset=[column])
    values = np.full(edges.size - 1, np.nan)
    t_ns = rows["reply_ns"].to_numpy(np.int64)
    last = np.searchsorted(t_ns, edges, side="right") - 1
    filled = np.flatnonzero(last[1:] > last[:-1])
    values[filled] = rows[column].to_numpy(np.float64)[last[filled + 1]]
    return values


def _phases(seen: Seen, start: int) -> Iterator[dict[str, Any]]:
    """What to shade: name, start and end in seconds."""
    away, end = seen.blackout, seen.record.times.migrate_end_ns
    if away is not None:
        if away.start_ns > start:
            yield _phase("precopy", start, away.start_ns, start)
        yield _phase("blackout", away.start_ns, away.end_ns, start)
        if switched(seen) and end is not None and end > away.end_ns:
            yield _phase("postcopy", away.end_ns, end, start)
    elif end is not None and seen.kind != "stop_and_copy":
        yield _phase("precopy", start, end, start)


def _phase(name: str, begun: int, ended: int, start: int) -> dict[str, Any]:
    return {"name": name, "from_s": (begun - start) / 1e9, "to_s": (ended - start) / 1e9}


def _passes(seen: Seen, start: int) -> Iterator[dict[str, Any]]:
    for event in seen.qmp("MIGRATION_PASS", "source"):
        t_ns = seen.event_ns(event)
        number = (event.get("data") or {}).get("pass")
        if t_ns is not None and number is not None:
            yield {"number": number, "at_s": round((t_ns - start) / 1e9, 4)}


def _compact(values: Floats) -> list[float | None]:
    """Four significant digits: a page holds thousands of them, and a picture shows no more."""
    return [None if math.isnan(v) else float(f"{v:.4g}") for v in values.tolist()]
