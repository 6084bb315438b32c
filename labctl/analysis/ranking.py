"""Which algorithm is best under which load, by each property, and where that turns.

Numbers come first: a ranking is read from them, and only as far as they carry it. An algorithm leads where no other is shown to be
better; several lead where no difference between them is shown. What does not always complete cannot lead what does.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from labctl.analysis.cells import Cells, Key, cells_of, in_words, who_columns
from labctl.analysis.effect_size import effect
from labctl.analysis.frame import ranked
from labctl.analysis.metrics import BY_COLUMN, Metric
from labctl.analysis.noise import floor
from labctl.analysis.properties import PROPERTIES, Property
from labctl.analysis.statistics import share_difference

Load = tuple[str, ...]
"""The levels of all factors but algorithm and transport."""


@dataclass(frozen=True)
class Place:
    """One algorithm under one load."""

    who: str
    value: float
    """the median of what ranks it, in the metric's own unit; NaN where nothing completed"""
    completed: int
    tried: int
    leads: bool
    sure: bool
    """whether it could be compared: six completed trials, or a completion that is shown to be worse"""


@dataclass(frozen=True)
class Ranking:
    """The algorithms under one load by one property, best first."""

    prop: Property
    load: Load
    places: tuple[Place, ...]

    @property
    def leaders(self) -> tuple[str, ...]:
        """Those that no other is shown to be better than."""
        return tuple(place.who for place in self.places if place.leads)

    @property
    def sure(self) -> bool:
        """Whether everybody could be compared with the best."""
        return all(place.sure for place in self.places)


@dataclass(frozen=True)
class Rankings:
    """Every ranking of a run."""

    factors: tuple[str, ...]
    loads: tuple[Load, ...]
    found: tuple[Ranking, ...]

    def of(self, prop: Property) -> list[Ranking]:
        """Those by one property, load by load."""
        return [ranking for ranking in self.found if ranking.prop == prop]

    def at(self, prop: Property, load: Load) -> Ranking | None:
        """The one by a property under a load; None where nothing was tried there."""
        return self._by.get((prop.key, load))

    @cached_property
    def _by(self) -> dict[tuple[str, Load], Ranking]:
        return {(ranking.prop.key, ranking.load): ranking for ranking in self.found}


def rankings(trials: pd.DataFrame, factors: Sequence[str]) -> Rankings:
    """Rank the algorithms of a run; `trials` has the derived columns. Transports are told apart where there are several; RDMA in
    software is left out.
    """
    who = who_columns(trials)
    trials = ranked(trials)
    cells = cells_of(trials, [*who, *factors])
    loads = tuple(dict.fromkeys(key[len(who) :] for key in cells.keys))
    found = []
    for prop in PROPERTIES:
        metric = BY_COLUMN[prop.ranked_by]
        noise = floor(trials, metric)
        for load in loads:
            keys = [key for key in cells.keys if key[len(who) :] == load and cells.tried[key]]
            if keys:
                places = _places(cells, metric, keys, len(who), noise)
                found.append(Ranking(prop, load, tuple(places)))
    return Rankings(tuple(factors), loads, tuple(found))


def _places(
    cells: Cells, metric: Metric, keys: Sequence[Key], width: int, noise: float | None
) -> Iterator[Place]:
    values = {key: cells.middle(metric.column, key) for key in keys}
    most = max(keys, key=lambda key: cells.completed[key] / cells.tried[key])
    completes = [key for key in keys if not _completes_less(cells, most, key)]
    contenders = [key for key in completes if not math.isnan(values[key])]
    best = min(contenders, key=values.__getitem__, default=None)

    def order(key: Key) -> tuple[bool, float]:
        return key not in completes, math.inf if math.isnan(values[key]) else values[key]

    for key in sorted(keys, key=order):
        leads, sure = False, key not in completes
        if best is not None and key in contenders:
            leads, sure = _leads(cells, metric, best, key, noise)
        who = " ".join(key[:width])
        yield Place(who, values[key], cells.completed[key], cells.tried[key], leads, sure)


def _completes_less(cells: Cells, most: Key, other: Key) -> bool:
    """Whether it is shown that the other completes less often."""
    counts = [(cells.completed[key], cells.tried[key]) for key in (most, other)]
    return share_difference(counts[0], counts[1]).high < 0


def _leads(
    cells: Cells, metric: Metric, best: Key, other: Key, noise: float | None
) -> tuple[bool, bool]:
    """Whether the other leads beside the best one, and whether that is sure."""
    sides = [cells.blocks(metric.column, [key]) for key in (best, other)]
    found = effect("", metric, sides[0], sides[1], noise, paired=True)
    if found is None or found.verdict == "too few":
        return best == other, False
    return found.verdict != "worse", True


@dataclass(frozen=True)
class Turn:
    """Who leads where, by one property: one entry for each group of loads with the same leaders."""

    prop: Property
    parts: tuple[tuple[tuple[str, ...], str], ...]
    """leaders, and the loads in words; the words are empty where it is so under every load"""


def turns(found: Rankings) -> Iterator[Turn]:
    """The conditions under which each ranking turns."""
    for prop in PROPERTIES:
        rows = {ranking.load: ranking.leaders for ranking in found.of(prop)}
        if rows:
            yield Turn(prop, tuple(_parts(found.factors, rows)))


def _parts(
    factors: Sequence[str], rows: dict[Load, tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], str]]:
    groups: dict[tuple[str, ...], list[Load]] = {}
    for load, leaders in rows.items():
        groups.setdefault(leaders, []).append(load)
    if len(groups) == 1:
        yield next(iter(groups)), ""
        return
    for leaders, loads in groups.items():
        yield leaders, _words(factors, loads, rows)


def _words(factors: Sequence[str], loads: list[Load], rows: Iterable[Load]) -> str:
    """These loads in as few words as tell them from all others: by one factor where that is enough."""
    others = [load for load in rows if load not in loads]
    for place, factor in enumerate(factors):
        levels = dict.fromkeys(load[place] for load in loads)
        if not levels.keys() & {load[place] for load in others}:
            return in_words([factor], [_listed(levels)])
    shared = [
        (factor, place)
        for place, factor in enumerate(factors)
        if len({load[place] for load in rows}) > 1
    ]
    named = [in_words([f for f, _ in shared], [load[p] for _, p in shared]) for load in loads]
    return (
        "; ".join(named) if len(named) <= 4 else f"{len(named)} of {len(loads) + len(others)} loads"
    )


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
