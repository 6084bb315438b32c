"""The noise floor: one cell against itself, run interleaved with all others (`noise: {aa: true}`)."""

import math

import numpy as np
import pandas as pd

from labctl.analysis import ratios
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
    own = done[(done["cell"] == cell) & done["twin_of"].isna()].set_index("block")[metric.column]
    twin = done[done["twin_of"] == cell].set_index("block")[metric.column]
    blocks = own.to_frame("own").join(twin.rename("twin"), how="inner").dropna()
    values: Floats = blocks.to_numpy(np.float64)
    if not (values > 0).all():
        return None
    interval = ratios.paired(np.log(values[:, 0]), np.log(values[:, 1])).interval
    return math.exp(max(abs(interval.low), abs(interval.high))) if interval else None
