"""The scorecard of a run: numbers first, a ranking second, and where the ranking turns."""

import math
from collections.abc import Sequence
from typing import Any

from labctl.analysis.cells import in_words
from labctl.analysis.effects import Effects
from labctl.analysis.loads import OverLoads
from labctl.analysis.properties import PROPERTIES, Card, Property, Score
from labctl.analysis.ranking import Ranking, Rankings, turns
from labctl.report.numbers import NONE, joined, short
from labctl.report.rows import by_load

Load = tuple[str, ...]


def scorecards(cards: Sequence[Card], found: Rankings) -> list[dict[str, Any]]:
    """One table a property: a row for each algorithm under each load, leaders marked."""
    ordered = sorted(cards, key=lambda card: _place(card, found))
    return [
        {
            "title": prop.title,
            "about": prop.about,
            "heads": [_head(score) for score in cards[0].scores[prop.key]] if cards else [],
            "loads": by_load(_row(card, prop, found) for card in ordered),
        }
        for prop in PROPERTIES
    ]  # fmt: skip


def _place(card: Card, found: Rankings) -> int:
    load = tuple(level for _, level in card.load)
    return found.loads.index(load) if load in found.loads else len(found.loads)


def _head(score: Score) -> dict[str, str]:
    return {"title": score.title, "unit": score.unit, "about": score.about}


def _row(card: Card, prop: Property, found: Rankings) -> dict[str, Any]:
    load = tuple(level for _, level in card.load)
    ranking = found.at(prop, load)
    return {
        "load": in_words(found.factors, load),
        "who": card.who,
        "leads": ranking is not None and card.who in ranking.leaders,
        "scores": [_told(score) for score in card.scores[prop.key]],
    }


def _told(score: Score) -> tuple[str, str]:
    """The number, and beside it its interval and what it rests on."""
    if not score.n or math.isnan(score.value):
        return NONE, ""
    if score.interval is None:
        return short(score.value), f"n {score.n}"
    low, high = (short(end) for end in score.interval)
    return short(score.value), f"[{low}, {high}] n {score.n}"


def turning(found: Rankings) -> list[dict[str, Any]]:
    """Where each ranking turns, in words."""
    return [
        {
            "title": turn.prop.title,
            "parts": [
                (joined(who, "or") or "none shown", where or "under every load") for who, where in turn.parts
            ],
        }
        for turn in turns(found)
    ]  # fmt: skip


def spread_over_loads(spreads: Sequence[OverLoads]) -> list[dict[str, Any]]:
    """How far an algorithm's total time depends on the load."""
    rows = []
    for each in spreads:
        effect = each.effect
        low, high = effect.interval or (None, None)
        rows.append(
            {
                "who": each.who,
                "shortest": (f"{short(effect.a / 1e3)} s", each.shortest),
                "longest": (f"{short(effect.b / 1e3)} s", each.longest),
                "ratio": short(effect.ratio),
                "interval": f"[{short(low)}, {short(high)}]" if low is not None and high is not None else NONE,
                "never": joined(each.never) or NONE,
            }
        )  # fmt: skip
    return rows


def explained(found: Effects) -> dict[str, Any]:
    """What explains a figure: the shares of factors, the largest first."""
    return {
        "title": found.metric.title,
        "trials": found.trials,
        "rows": [
            (
                each.name,
                f"{each.share:.1%}",
                ", ".join(f"{level} x {short(by)}" for level, by in each.levels),
            )
            for each in found.explained
        ],
        "left_out": len(found.left_out),
    }


def maps(found: Rankings, bandwidth: str) -> list[dict[str, Any]]:
    """Who leads over load and bandwidth: one table a property. Columns are levels of the write rate, rows of the bandwidth.

    Where the matrix varies neither, its first two factors take their places. A place that stands for several loads names
    everybody who leads under one of them, and under how many.
    """
    across = _axis(found.factors, "write_rate", ())
    down = _axis(found.factors, "bandwidth", (across,))
    columns = _levels(found, across)
    rows = _levels(found, down) if down is not None else [bandwidth]
    return [
        {
            "title": prop.title,
            "across": _name(across),
            "down": _name(down) or "bandwidth",
            "columns": columns,
            "rows": [
                (row, [_leaders(found, prop, across, column, down, row) for column in columns])
                for row in rows
            ],
        }
        for prop in PROPERTIES
    ]


def _axis(factors: Sequence[str], wanted: str, taken: Sequence[str | None]) -> str | None:
    if wanted in factors:
        return wanted
    left = [name for name in factors if name not in {*taken, "write_rate", "bandwidth"}]
    return left[0] if left else None


def _name(factor: str | None) -> str:
    return factor.replace("_", " ") if factor else ""


def _levels(found: Rankings, factor: str | None) -> list[str]:
    if factor is None:
        return ["all loads"]
    place = found.factors.index(factor)
    return list(dict.fromkeys(load[place] for load in found.loads))


def _leaders(
    found: Rankings, prop: Property, across: str | None, column: str, down: str | None, row: str
) -> list[tuple[str, str]]:
    """Who leads there, and under how many of the loads where that differs."""

    def there(ranking: Ranking) -> bool:
        wanted = [(across, column), (down, row)]
        return all(
            factor is None or ranking.load[found.factors.index(factor)] == level for factor, level in wanted
        )  # fmt: skip

    rankings = [ranking for ranking in found.of(prop) if there(ranking)]
    times: dict[str, int] = {}
    for ranking in rankings:
        for who in ranking.leaders:
            times[who] = times.get(who, 0) + 1
    ordered = sorted(times.items(), key=lambda pair: -pair[1])
    return [
        (who, f"{count} of {len(rankings)}" if count < len(rankings) else "")
        for who, count in ordered
    ]
