"""The noise floor: one cell against itself, run interleaved with all others (`noise: {aa: true}`)."""

import math

import numpy as np
import pandas as pd

from labctl.analysis.bootstrap import interval_of, resampled_medians
from labctl.analysis.cells import telling
from labctl.analysis.metrics import Metric
from labctl.analysis.statistics import Floats
from labctl.results.schema import Outcome


def floor(trials: pd.DataFrame, metric: Metric) -> float | None:
    """How far two cells that are the same lie apart, as a ratio: 1.05 is 5 %; None where none was run against itself.

    It is the far end of the interval of the ratio, so that a difference beyond it is none of chance alone. Of several such
    cells the largest counts.
    """
    found = [
        ratio
        for twin in trials["twin_of"].dropna().unique()
        if (ratio := _ratio(trials, str(twin), metric)) is not None
    ]
    return max(found, default=None)


def _ratio(trials: pd.DataFrame, cell: str, metric: Metric) -> float | None:
    done = trials[trials["outcome"] == Outcome.COMPLETED]
    own = done[(done["cell"] == cell) & done["twin_of"].isna()]
    twin = done[done["twin_of"] == cell]
    joined = own.set_index("block")[metric.column].to_frame("a")
    joined = joined.join(twin.set_index("block")[metric.column].rename("b"), how="outer")
    blocks: Floats = joined.to_numpy(np.float64, na_value=np.nan)
    if min(np.count_nonzero(~np.isnan(blocks), axis=0), default=0) == 0:
        return None
    drawn = resampled_medians(blocks)
    if not (drawn[np.isfinite(drawn)] > 0).all():
        return None
    interval = interval_of(np.log(drawn[:, 1] / drawn[:, 0]))
    return math.exp(max(abs(interval.low), abs(interval.high))) if interval else None


def described(trials: pd.DataFrame) -> list[str]:
    """Which cells were run against themselves, in words."""
    columns = telling(trials)
    rows = trials[trials["twin_of"].notna()].drop_duplicates("twin_of")
    return [", ".join(map(str, row)) for row in rows[columns].to_numpy()]
