"""Which factor matters: how much of a figure's variation each factor, and each pair of factors together, explains.

An analysis of variance of the logarithm of the figure (so effects are ratios), with the factors, their interactions of two and
the blocks; the share is that of the sum of squares ("allocation of variation": Jain, The Art of Computer Systems Performance
Analysis, 1991, chapters 17 to 23). In a full design without gaps the shares add up to 100 %; where cells did not complete, each
is what is explained beyond all others (type II).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd

from labctl.analysis.frame import measured
from labctl.analysis.metrics import Metric, with_derived
from labctl.analysis.statistics import Floats
from labctl.errors import InputError
from labctl.results.schema import Outcome

RESIDUAL: Final = "rest"
"""what no factor explains: repetitions, and interactions of more than two"""
BLOCK: Final = "repetition"


@dataclass(frozen=True)
class Explained:
    """One factor, or two together."""

    name: str
    """`write rate`, `algorithm x write rate`, `repetition`, `rest`"""
    share: float
    """of the variation of the logarithm, 0 to 1"""
    levels: tuple[tuple[str, float], ...] = ()
    """of a single factor: each level, and by what it multiplies the figure, other things equal"""


@dataclass(frozen=True)
class Effects:
    """What explains a figure."""

    metric: Metric
    explained: tuple[Explained, ...]
    """the largest share first, the rest last"""
    trials: int
    left_out: tuple[str, ...]
    """cells without any completed trial, which the shares say nothing of"""


def effects(frame: pd.DataFrame, metric: Metric, factors: Sequence[str]) -> Effects:
    """What explains a metric over all completed trials of a run.

    Raises:
        InputError: fewer than two factors vary, or too few trials completed to tell.
    """
    rows = with_derived(measured(frame))
    tried = rows[rows["outcome"] != Outcome.UNSUPPORTED]
    values = rows[metric.column].to_numpy(np.float64, na_value=np.nan)
    done = rows[(rows["outcome"] == Outcome.COMPLETED).to_numpy() & (values > 0)]
    done = done.sort_values("cell", kind="stable")
    varied = [name for name in factors if done[name].nunique() > 1]
    if not varied:
        raise InputError(
            f"nothing varies among the trials that completed with a {metric.title.lower()} above 0",
            mend="a matrix with at least one factor of two levels",
        )
    known = set(done["cell"])
    left_out = tuple(str(c) for c in dict.fromkeys(tried.sort_values("cell")["cell"]) if c not in known)  # fmt: skip
    table = pd.DataFrame(
        {f"f{place}": done[name].astype("str") for place, name in enumerate(varied)}
    )
    table["y"] = np.log(done[metric.column].to_numpy(np.float64))
    table["block"] = done["block"].astype("str")
    return Effects(metric, tuple(_explained(table, varied)), len(table), left_out)


def _explained(table: pd.DataFrame, names: Sequence[str]) -> list[Explained]:
    """The shares of all terms. Least squares of models with and without a term: whole designs and such with gaps alike, and
    those of one repetition, which have no rest.
    """
    single = {f"f{place}": name.replace("_", " ") for place, name in enumerate(names)}
    terms = {frozenset([column]): title for column, title in single.items()}
    terms |= {frozenset(two): " x ".join(single[c] for c in two) for two in combinations(single, 2)}
    if table["block"].nunique() > 1:
        terms[frozenset(["block"])] = BLOCK
    y = table["y"].to_numpy(np.float64)
    whole = float(((y - y.mean()) ** 2).sum())
    designs = {term: _dummies(table, sorted(term)) for term in terms}
    found = []
    for term, title in terms.items():
        others = [design for other, design in designs.items() if not term <= other]
        gained = _unexplained(y, others) - _unexplained(y, [*others, designs[term]])
        share = max(0.0, gained) / whole if whole else 0.0
        column = next(iter(term))
        levels = _levels(table, column) if column in single and len(term) == 1 else ()
        found.append(Explained(title, share, levels))
    found.sort(key=lambda each: -each.share)
    rest = _unexplained(y, list(designs.values())) / whole if whole else 0.0
    return [*found, Explained(RESIDUAL, rest)]


def _dummies(table: pd.DataFrame, columns: Sequence[str]) -> Floats:
    """(trials, combinations): 1 where a trial has that combination of levels."""
    codes = table.groupby(list(columns), sort=False).ngroup().to_numpy()
    dummies: Floats = np.eye(int(codes.max()) + 1)[codes]
    return dummies


def _unexplained(y: Floats, designs: Sequence[Floats]) -> float:
    """The sum of squares that is left after a fit of a mean and these."""
    design = np.hstack([np.ones((y.size, 1)), *designs])
    fitted = design @ np.linalg.lstsq(design, y)[0]
    return float(((y - fitted) ** 2).sum())


def _levels(table: pd.DataFrame, column: str) -> tuple[tuple[str, float], ...]:
    """By what each level multiplies the figure: its geometric mean by that of all."""
    middle = float(table["y"].mean())
    means = table.groupby(column, sort=False)["y"].mean()
    return tuple((str(level), math.exp(float(mean) - middle)) for level, mean in means.items())
