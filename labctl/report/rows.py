"""Rows of frames as the report's parts read them, and words for what stands in them."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from labctl.report.numbers import NONE, known


def records(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows, each a mapping by column."""
    for row in frame.to_dict("records"):
        yield {str(key): value for key, value in row.items()}


def load_of(row: Mapping[str, Any], factors: list[str]) -> str:
    """A cell's levels without its algorithm."""
    return ", ".join(str(row[name]) for name in factors) or "all"


def named(row: Mapping[str, Any], factors: list[str]) -> str:
    """A cell in words: `precopy, write rate 400MiB/s`."""
    levels = [f"{name.replace('_', ' ')} {row[name]}" for name in factors]
    return ", ".join([str(row["algorithm"]), *levels])


def text_of(value: Any) -> str:
    """The text; a dash where there is none."""
    return str(value) if known(value) else NONE


def yes_no(value: Any) -> str:
    """`yes`, `no`; a dash where it is not known."""
    return ("yes" if value else "no") if known(value) else NONE
