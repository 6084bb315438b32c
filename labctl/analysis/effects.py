"""Which factor matters: how much of a figure's variation each factor, and each pair of factors together, explains.

An analysis of variance of the logarithm of the figure (so effects are ratios), with the factors, their interactions of two and
the blocks; the share is that of the sum of squares ("allocation of variation": Jain, The Art of Computer Systems Performance
Analysis, 1991, chapters 17 to 23). In a full design without gaps the shares add up to 100 %; where cells did not complete, each
is what is explained beyond all others (type II).
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd
from scipy.linalg import lstsq
from scipy.sparse import csr_array, hstack

from labctl.analysis.frame import measured
from labctl.analysis.metrics import Metric, with_derived
from labctl.errors import InputError
from labctl.results.schema import Outcome

RESIDUAL: Final = "rest"
"""what no factor explains: repetitions, and interactions of more than two"""
BLOCK: Final = "repetition"
_RANK: Final = 1e-9
"""below this share of the largest, a direction of the design is none: levels add up to the mean"""

Term = frozenset[str]
"""A factor's column, or those of two together."""


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
    fit = _Fit(table, terms)
    found = []
    for term, title in terms.items():
        others = [other for other in terms if not term <= other]
        gained = fit.unexplained(others) - fit.unexplained([*others, term])
        share = max(0.0, gained) / fit.whole if fit.whole else 0.0
        column = next(iter(term))
        levels = _levels(table, column) if column in single and len(term) == 1 else ()
        found.append(Explained(title, share, levels))
    found.sort(key=lambda each: -each.share)
    rest = fit.unexplained(terms) / fit.whole if fit.whole else 0.0
    return [*found, Explained(RESIDUAL, rest)]


class _Fit:
    """Least squares of a mean and terms, by the normal equations of all of them: what a trial adds is added once, so that
    100,000 trials in 1,000 combinations of levels take no more memory than these combinations by themselves.
    """

    def __init__(self, table: pd.DataFrame, terms: Collection[Term]) -> None:
        y = table["y"].to_numpy(np.float64)
        y = y - y.mean()
        self.whole = float(y @ y)
        designs = [csr_array(np.ones((y.size, 1))), *(_dummies(table, term) for term in terms)]
        ends = np.cumsum([each.shape[1] for each in designs])
        self._columns = {
            term: np.arange(start, end)
            for term, start, end in zip(terms, ends[:-1], ends[1:], strict=True)
        }
        design = hstack(designs, format="csr")
        self._products = (design.T @ design).toarray()
        self._sums = design.T @ y

    def unexplained(self, terms: Iterable[Term]) -> float:
        """The sum of squares that is left after a fit of a mean and these."""
        columns = np.concatenate([np.zeros(1, np.int64), *(self._columns[term] for term in terms)])
        sums = self._sums[columns]
        products = self._products[np.ix_(columns, columns)]
        fitted = lstsq(products, sums, cond=_RANK, lapack_driver="gelsy")[0]
        return max(0.0, self.whole - float(fitted @ sums))


def _dummies(table: pd.DataFrame, term: Term) -> csr_array:
    """(trials, combinations): 1 where a trial has that combination of levels."""
    codes = table.groupby(sorted(term), sort=False).ngroup().to_numpy()
    return csr_array((np.ones(codes.size), (np.arange(codes.size), codes)))


def _levels(table: pd.DataFrame, column: str) -> tuple[tuple[str, float], ...]:
    """By what each level multiplies the figure: its geometric mean by that of all."""
    middle = float(table["y"].mean())
    means = table.groupby(column, sort=False)["y"].mean()
    return tuple((str(level), math.exp(float(mean) - middle)) for level, mean in means.items())
