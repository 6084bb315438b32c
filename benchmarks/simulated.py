"""Campaigns whose truth is known, because they were drawn: what the statistics are tried on. No lab, no migration."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from labctl.analysis.statistics import Floats
from labctl.results.building import assembled

MEMORY_BYTES = 2**28


def campaign(
    cells: Mapping[str, Floats], twins: Mapping[str, Floats] | None = None
) -> pd.DataFrame:
    """A run's frame: by algorithm, the blackout in ms of the trial in each block; NaN where one did not converge.

    Every other figure follows from it, so that a ratio of blackouts is one of total times as well.
    """  # fmt: skip
    rows = [
        _row(name, name, block, value, None)
        for name, values in cells.items()
        for block, value in enumerate(values.tolist(), start=1)
    ]
    rows += [
        _row(f"{name},twin", name, block, value, name)
        for name, values in (twins or {}).items()
        for block, value in enumerate(values.tolist(), start=1)
    ]
    for number, row in enumerate(rows, start=1):
        row["trial"] = number
    names = list(cells)
    orders = {
        "cell": [*names, *(f"{name},twin" for name in twins or {})],
        "algorithm": names,
        "transport": ["tcp"],
    }
    return assembled(rows, orders, {})


def _row(
    cell: str, algorithm: str, block: int, value: float, twin_of: str | None
) -> dict[str, object]:
    done = not np.isnan(value)
    figures = {
        "blackout_ms": value, "total_time_ms": round(100 * value), "stall_max_ms": value / 2, "stall_total_ms": value,
        "work_lost_s": value / 100, "wire_bytes": int(MEMORY_BYTES * value / 100),
    } if done else {}  # fmt: skip
    return {
        "cell": cell, "block": block, "algorithm": algorithm, "transport": "tcp", "warmup": False,
        "outcome": "completed" if done else "not_converged", "memory_bytes": MEMORY_BYTES,
        "wall_time_ms": 10 * value if done else 10_000.0, "twin_of": twin_of, **figures,
    }  # fmt: skip


def noisy(
    dice: np.random.Generator, middle: float, noise: float, size: int | Sequence[int]
) -> Floats:
    """Log-normal values around their median: repetitions of a migration are never below 0 and have a longer tail above."""
    values: Floats = middle * np.exp(dice.normal(0.0, noise, size))
    return values
