"""Counters of the hosts, read from samples: how far one grew, and what one was at each sample."""

import numpy as np

from labctl.results.figures.seen import Ints, Seen
from labctl.results.schema import Side


def counted(seen: Seen, side: Side, column: str) -> tuple[Ints, Ints] | None:
    """When a side's host was sampled, and what the column was; None where it never was known."""
    known = _known(seen, side, column)
    return None if known is None else known[1:]


def grown(seen: Seen, side: Side, column: str, start_ns: int, end_ns: int) -> int | None:
    """How far a counter grew from the last sample before `start_ns` to the first after `end_ns`.

    Where there is no such sample the nearest within is taken. A counter that falls (a thread has
    ended) counts as far as it had grown.
    """
    known = _known(seen, side, column)
    if known is None or known[0].size < 2:
        return None
    request_ns, reply_ns, values = known
    before = np.flatnonzero(reply_ns <= start_ns)
    after = np.flatnonzero(request_ns >= end_ns)
    first = int(before[-1]) if before.size else 0
    last = int(after[0]) if after.size else values.size - 1
    between = values[first : last + 1]
    return int(between.max() - between[0]) if between.size else None


def _known(seen: Seen, side: Side, column: str) -> tuple[Ints, Ints, Ints] | None:
    """Of the samples in which the column is known: when each was asked for, when it came, and what it was."""
    rows = seen.sampled("host", side)
    if column not in rows:
        return None
    is_known = rows[column].notna()
    if not is_known.any():
        return None
    request_ns, reply_ns, values = (
        rows[name][is_known].to_numpy(np.int64) for name in ("request_ns", "reply_ns", column)
    )
    return request_ns, reply_ns, values
