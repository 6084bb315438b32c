"""The figures of cells, block by block: what comparisons draw from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from labctl.analysis import statistics
from labctl.analysis.frame import TRIED, factors_of, measured, tells_transport
from labctl.analysis.statistics import Floats, Ints
from labctl.results.schema import Outcome

Key = tuple[str, ...]
"""A cell's levels, in the order of the columns that tell cells apart."""


def in_words(columns: Sequence[str], levels: Sequence[str]) -> str:
    """Levels of these columns: `precopy, write rate 40MiB/s`; an algorithm and a transport need no name before them."""
    plain = {"algorithm", "transport"}
    return ", ".join(
        level if column in plain else f"{column.replace('_', ' ')} {level}"
        for column, level in zip(columns, levels, strict=True)
    )


@dataclass(frozen=True)
class Cells:
    """Cells of one run by their levels, with each figure by block."""

    columns: tuple[str, ...]
    """what the keys are levels of"""
    keys: tuple[Key, ...]
    """in the order of the plan"""
    completed: dict[Key, int]
    tried: dict[Key, int]
    """migrations that completed, did not converge, or failed"""
    trials: pd.DataFrame
    _done: dict[Key, Ints] = field(default_factory=dict)
    """the places of a cell's completed trials; looked up once, a large run has thousands of cells"""
    _known: dict[str, Floats] = field(default_factory=dict)

    def names(self, key: Key) -> str:
        """A cell in words: `precopy, write rate 40MiB/s`; where nothing tells cells apart, `all`."""
        return in_words(self.columns, key) or "all"

    @cached_property
    def numbers(self) -> Ints:
        """The numbers of the blocks that any trial belongs to."""
        return np.unique(self.trials["block"].to_numpy(np.int64))

    def middle(self, column: str, key: Key) -> float:
        """The median of a figure of a cell's completed trials, NaN where there is none."""
        values = self.blocks(column, [key])
        return statistics.median(values[~np.isnan(values)])

    def blocks(self, column: str, keys: Sequence[Key], numbers: Ints | None = None) -> Floats:
        """(blocks, keys): a figure of the completed trials, NaN where there is none; of these blocks, if told which."""
        numbers = self.numbers if numbers is None else numbers
        found = np.full((numbers.size, len(keys)), np.nan)
        values, blocks = self._column(column), self._column("block")
        for place, key in enumerate(keys):
            rows = self._done.get(key, np.zeros(0, np.int64))
            found[np.searchsorted(numbers, blocks[rows]), place] = values[rows]
        return found

    def _column(self, name: str) -> Floats:
        if name not in self._known:
            self._known[name] = self.trials[name].to_numpy(np.float64, na_value=np.nan)
        return self._known[name]


def telling(frame: pd.DataFrame) -> list[str]:
    """The columns that tell the frame's cells apart: algorithm, transport and the factors, where they vary."""
    named = ["algorithm", "transport", *factors_of(frame)]
    told = {"algorithm", *(["transport"] if tells_transport(frame) else [])}
    return [name for name in named if name in told or frame[name].nunique() > 1]


def who_columns(trials: pd.DataFrame) -> list[str]:
    """The columns that say what is compared: the algorithm, with its transport where that has to be told."""
    return ["algorithm", "transport"] if tells_transport(trials) else ["algorithm"]


def cells_of(trials: pd.DataFrame, columns: Sequence[str]) -> Cells:
    """The cells of a frame that has the metrics' derived columns; twins are none (`labctl.analysis.noise`).

    Trials whose cells do not differ in `columns` are put together.
    """
    trials = measured(trials)
    levels = [trials[name].astype("str").fillna("unknown") for name in columns]
    keys: list[Key] = list(zip(*levels, strict=True)) if levels else [()] * len(trials)
    trials = trials.assign(_key=pd.Series(keys, trials.index, "object"))
    order = trials.sort_values("cell", kind="stable")["_key"]
    tried = trials[trials["outcome"].isin(TRIED)]["_key"].value_counts()
    done = trials[trials["outcome"] == Outcome.COMPLETED]["_key"].value_counts()
    found = tuple(dict.fromkeys(order))
    completed = np.flatnonzero((trials["outcome"] == Outcome.COMPLETED).to_numpy())
    places: dict[Key, list[int]] = {}
    for place in completed.tolist():
        places.setdefault(keys[place], []).append(place)
    return Cells(
        tuple(columns),
        found,
        {key: int(done.get(key, 0)) for key in found},
        {key: int(tried.get(key, 0)) for key in found},
        trials,
        {key: np.array(rows, np.int64) for key, rows in places.items()},
    )
