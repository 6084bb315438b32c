"""The frame of a run, made from its plan and its trials: some at a time, so that a large run does not fill the memory."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import pandas as pd

from labctl.campaign.carriers import carrier
from labctl.results.columns import CLOSING, ENDING, IDENTITY, Column
from labctl.results.figures import FIGURES, MORE_FIGURES
from labctl.results.run import Run, Trial
from labctl.results.schema import SCHEMA_VERSION, Outcome

BEFORE: tuple[Column, ...] = IDENTITY
"""the columns before the campaign's factors"""
AFTER: tuple[Column, ...] = (
    *ENDING,
    *(figure.column for figure in FIGURES),
    *CLOSING,
    *(figure.column for figure in MORE_FIGURES),
)
"""those behind them"""
CHUNK = 2_000
"""trials whose rows are held as Python objects at a time"""

_ORDERED = ("cell", "algorithm", "transport")
"""Text columns that sort in the order of the plan, as the factors do."""
_FIXED = {column.name for column in (*BEFORE, *AFTER)}
_FIGURE_NAMES = [figure.column.name for figure in (*FIGURES, *MORE_FIGURES)]
_DTYPES = {"int": "Int64", "float": "float64", "text": "str", "bool": "boolean", "uint": "UInt64"}


def build(run: Run) -> pd.DataFrame:
    """One row for each trial that has a result, and for each that is unsupported, by number."""
    cells = run.plan.cells
    orders: dict[str, Iterable[Any]] = {
        "cell": [cell.name for cell in cells],
        "algorithm": [cell.algorithm.name for cell in cells],
        "transport": [cell.carrier for cell in cells],
    }
    names = dict.fromkeys(name for cell in cells for name in cell.factors if name not in _FIXED)
    factors = {name: [cell.factors.get(name) for cell in cells] for name in names}
    chunks = [_plain(rows, factors) for rows in _chunks(_rows(run))] or [_plain([], factors)]
    frame = pd.concat(chunks, ignore_index=True)
    more = [name for name in frame.columns if name not in _FIXED and name not in factors]
    frame = _ordered(frame, orders, factors | dict.fromkeys(more, ()))
    return frame.sort_values("trial", kind="stable", ignore_index=True)


def assembled(
    rows: list[dict[str, Any]],
    orders: Mapping[str, Iterable[Any]],
    factors: Mapping[str, Iterable[Any]],
) -> pd.DataFrame:
    """A frame of these rows, one a trial: keys are columns; `orders` are those of cell, algorithm and transport, `factors` the
    campaign's, each with its levels in order.
    """
    return _ordered(_plain(rows, factors), orders, factors)


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _rows(run: Run) -> Iterator[dict[str, Any]]:
    stored = set()
    for trial in run.trials():
        stored.add(trial.number)
        yield _row(trial)
    cells = {cell.name: cell for cell in run.plan.cells}
    for planned in run.plan.trials:
        if planned.rule is None or planned.number in stored:
            continue
        cell = cells[planned.cell]
        yield {
            **cell.factors,
            "trial": planned.number,
            "cell": planned.cell,
            "block": planned.block,
            "direction": planned.direction,
            "algorithm": cell.algorithm.name,
            "transport": cell.carrier,
            "outcome": Outcome.UNSUPPORTED.value,
            "rule": planned.rule,
            "reason": planned.reason,
            "write_rate_asked_bytes_per_s": cell.guest.write_rate_bytes_per_s,
            "memory_bytes": cell.guest.memory_bytes,
            "warmup": planned.warmup,
            "twin_of": cell.twin_of,
            "rdma_provider": cell.rdma_provider,
            "schema": SCHEMA_VERSION,
        }


def _row(trial: Trial) -> dict[str, Any]:
    record = trial.record
    factors = record.spec.get("factors") or {}
    figures = trial.figures()
    transport, provider = record.spec.get("transport"), record.spec.get("rdma_provider")
    return {
        **factors,
        **{name: figures.get(name) for name in _FIGURE_NAMES},
        "trial": record.number,
        "cell": record.cell,
        "block": record.block,
        "attempt": record.attempt,
        "pair": record.pair,
        "direction": record.direction,
        "algorithm": record.asked("algorithm", "name"),
        "transport": transport and carrier(transport, provider),
        "outcome": record.outcome.value,
        "verdict": record.verdict.value if record.verdict else None,
        "reason": record.reason,
        "rule": record.rule,
        "schema": record.schema_version,
        "warmup": record.warmup,
        "twin_of": record.spec.get("twin_of"),
        "rdma_provider": provider,
    }


def _plain(rows: list[dict[str, Any]], factors: Iterable[str]) -> pd.DataFrame:
    """The rows as columns, each of its kind; factors, also such that only the rows have, are texts."""
    known = dict.fromkeys([*factors, *(name for row in rows for name in row if name not in _FIXED)])
    kinds = [(column.name, _DTYPES[column.kind]) for column in BEFORE]
    kinds += [(name, "str") for name in known]
    kinds += [(column.name, _DTYPES[column.kind]) for column in AFTER]
    data = {name: pd.Series([row.get(name) for row in rows], dtype=kind) for name, kind in kinds}
    return pd.DataFrame(data)


def _ordered(
    frame: pd.DataFrame, orders: Mapping[str, Iterable[Any]], factors: Mapping[str, Iterable[Any]]
) -> pd.DataFrame:
    """The frame with its texts that sort as the plan does as categories in that order, in the order of the columns."""
    for name, order in {**{name: orders[name] for name in _ORDERED}, **factors}.items():
        levels = dict.fromkeys([*order, *frame[name].dropna().unique()])
        levels.pop(None, None)
        kind = pd.CategoricalDtype(pd.Index(list(levels), dtype="str"), ordered=True)
        frame[name] = frame[name].astype(kind)
    names = [column.name for column in BEFORE] + list(factors) + [column.name for column in AFTER]
    return frame[names]
