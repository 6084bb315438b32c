"""Rows of frames as the report's parts read them, and words for what stands in them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from labctl.analysis.cells import in_words
from labctl.campaign.carriers import in_software
from labctl.report.numbers import NONE, known


def records(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows, each a mapping by column."""
    for row in frame.to_dict("records"):
        yield {str(key): value for key, value in row.items()}


def load_of(row: Mapping[str, Any], factors: Sequence[str]) -> tuple[str, ...]:
    """A cell's levels without its algorithm."""
    return tuple(str(row[name]) for name in factors)


def named(row: Mapping[str, Any], factors: list[str]) -> str:
    """A cell in words: `precopy, write rate 400MiB/s`."""
    names = ["algorithm", *(["transport"] if in_software(str(row["transport"])) else []), *factors]
    return in_words(names, load_of(row, names))


def by_load(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a table under the load that each names: loads as they first appear, each with its rows in their order."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["load"], []).append(row)
    return [{"load": load, "rows": found} for load, found in groups.items()]


def text_of(value: Any) -> str:
    """The text; a dash where there is none."""
    return str(value) if known(value) else NONE


def yes_no(value: Any) -> str:
    """`yes`, `no`; a dash where it is not known."""
    return ("yes" if value else "no") if known(value) else NONE
