"""Counters of the hosts, read from samples: how far one grew, and what one was at each sample."""

import numpy as np

from labctl.results.figures.seen import Ints, Seen
from labctl.results.schema import Side


def counted(seen: Seen, side: Side, column: str) -> tuple[Ints, Ints] | None:
    """When a side's host was sampled, and what the column was; None where it never was known."""
    rows = seen.sampled("host", side)
    if column not in rows:
        return None
    rows = rows.dropna(subset=[column])
    if not len(rows):
        return None
    return rows["reply_ns"].to_numpy(np.int64), rows[column].to_numpy(np.int64)


def grown(seen: Seen, side: Side, column: str, start_ns: int, end_ns: int) -> int | None:
    """How far a counter grew from the last sample before `start_ns` to the first after `end_ns`.

    Where there is no such sample the nearest within is taken. A counter that falls (a thread has
    ended) counts as far as it had grown.
    """
    rows = seen.sampled("host", side)
    if column not in rows:
        return None
    rows = rows.dropna(subset=[column])
    if len(rows) < 2:
        return None
    before = np.flatnonzero(rows["reply_ns"] <= start_ns)
    after = np.flatnonzero(rows["request_ns"] >= end_ns)
    first = int(before[-1]) if before.size else 0
    last = int(after[0]) if after.size else len(rows) - 1
    values = rows[column].to_numpy(np.int64)[first : last + 1]
    return int(values.max() - values[0]) if values.size else None
