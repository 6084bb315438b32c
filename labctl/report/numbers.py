"""Numbers as they are shown: three figures that matter, and never more digits than were measured."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from labctl.analysis.metrics import Metric
from labctl.results.schema import Outcome

DASH = "\N{EN DASH}"
NONE = DASH


def known(value: Any) -> bool:
    """Whether a cell of a frame holds something."""
    return not (value is None or pd.isna(value))


def short(value: float) -> str:
    """Three significant digits, no exponent: 0.0123, 1.23, 123, 12345."""
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(float(f"{value:.2e}"))))
    text = f"{value:.{min(6, max(0, 2 - magnitude))}f}"
    return text.rstrip("0").rstrip(".") if abs(value) < 0.001 else text


def shown(metric: Metric, value: Any) -> str:
    """A figure in its metric's unit, the unit left out."""
    return short(float(value) * metric.scale) if known(value) else NONE


def median_and_beside(metric: Metric, row: Mapping[str, Any]) -> tuple[str, str]:
    """A row of `summary`: the median, and beside it `[its interval]`; of too few trials for one their range, of one nothing."""
    if not known(row[metric.column]):
        return NONE, ""
    median = shown(metric, row[metric.column])
    low, high = (shown(metric, row[f"{metric.column}_{end}"]) for end in ("low", "high"))
    if low != NONE:
        return median, f"[{low}, {high}]"
    low, high = (shown(metric, row[f"{metric.column}_{end}"]) for end in ("min", "max"))
    alone = row[f"{metric.column}_n"] < 2 or low == high
    return median, "" if alone else f"{low}{DASH}{high}"


def outcomes(row: Mapping[str, Any]) -> str:
    """A row of `summary`: what came of its trials, `2 completed, 1 failed`."""
    counted = [(int(row[o.value]), o.value) for o in Outcome if row.get(o.value)]
    return ", ".join(f"{count} {name.replace('_', ' ')}" for count, name in counted) or "none yet"


def within(title: str) -> str:
    """A title within a sentence: `total time`, `CPU`."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def joined(words: Iterable[str], by: str = "and") -> str:
    """`a, b and c`."""
    listed = list(words)
    return ", ".join([*listed[:-2], f" {by} ".join(listed[-2:])]) if listed else ""
