"""The frame of a run: one row a trial, kept as results.parquet.

The file is derived: it is made anew whenever the plan, a trial or the columns are not those it was
made from, and deleting it loses nothing.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from labctl.errors import LabctlError, ResultsError
from labctl.results import layout, raw
from labctl.results.columns import CLOSING, ENDING, IDENTITY, Column
from labctl.results.figures import FIGURES, MORE_FIGURES
from labctl.results.files import replace_file, writing
from labctl.results.run import Run, Trial
from labctl.results.schema import SCHEMA_VERSION, Outcome

_STAMP = "made_from"
_ORDERED = ("cell", "algorithm", "transport")
"""Text columns that sort in the order of the plan, as the factors do."""

_BEFORE: tuple[Column, ...] = IDENTITY
_AFTER: tuple[Column, ...] = (
    *ENDING,
    *(figure.column for figure in FIGURES),
    *CLOSING,
    *(figure.column for figure in MORE_FIGURES),
)
_FIGURE_NAMES = [figure.column.name for figure in (*FIGURES, *MORE_FIGURES)]
_DTYPES = {"int": "Int64", "float": "float64", "text": "str", "bool": "boolean", "uint": "UInt64"}


def frame_columns() -> tuple[tuple[Column, ...], tuple[Column, ...]]:
    """The columns before the campaign's factors, and those after them."""
    return _BEFORE, _AFTER


def run_frame(run_dir: Path, *, warmups: bool = False) -> pd.DataFrame:
    """One row for each trial that has a result, and for each that is unsupported, by number.

    A trial that is still to come has no row. Factors are columns of their own, as categories in the
    order of the campaign. What is not known is empty (`pd.NA`, NaN), never 0.

    Raises:
        ResultsError: a file is damaged, or a newer labctl wrote it.
    """
    stamp = _made_from(run_dir)
    path = run_dir / layout.RESULTS
    frame = None
    if raw.parquet_metadata(path, _STAMP) == stamp:
        try:
            frame = raw.from_parquet(path)
        except ResultsError:
            frame = None  # damaged: it is derived
    if frame is None:
        frame = _build(Run(run_dir))
        _keep(path, raw.to_parquet(frame, **{_STAMP: stamp}))
    if warmups:
        return frame
    return frame[~frame["warmup"].fillna(value=False).astype(bool)].reset_index(drop=True)


def _keep(path: Path, data: bytes) -> None:
    try:
        with writing(path):
            replace_file(path, data)
    except LabctlError:
        return  # a run may be read from where nothing can be written


def _made_from(run_dir: Path) -> str:
    """A digest of all that the frame depends on: files by name, size and time, and the columns."""
    names = [column.name for column in (*_BEFORE, *_AFTER)]
    digest = hashlib.sha256(f"{SCHEMA_VERSION} {names}".encode())
    records = (f.path / layout.RECORD for f in layout.trial_folders(run_dir) if f.attempt is None)
    for path in (run_dir / layout.PLAN, *sorted(records)):
        try:
            stat = path.stat()
        except OSError:
            continue
        digest.update(f"{path.parent.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _build(run: Run) -> pd.DataFrame:
    cells = {cell.name: cell for cell in run.plan.cells}
    rows = [_row(trial) for trial in run.trials()]
    stored = {row["trial"] for row in rows}
    for planned in run.plan.trials:
        if planned.rule is None or planned.number in stored:
            continue
        cell = cells[planned.cell]
        rows.append(
            {
                **cell.factors,
                "trial": planned.number,
                "cell": planned.cell,
                "block": planned.block,
                "direction": planned.direction,
                "algorithm": cell.algorithm.name,
                "transport": cell.transport,
                "outcome": Outcome.UNSUPPORTED.value,
                "rule": planned.rule,
                "reason": planned.reason,
                "write_rate_asked_bytes_per_s": cell.guest.write_rate_bytes_per_s,
                "memory_bytes": cell.guest.memory_bytes,
                "warmup": planned.warmup,
                "twin_of": cell.twin_of,
                "schema": SCHEMA_VERSION,
            }
        )
    rows.sort(key=lambda row: row["trial"])
    orders: dict[str, Iterable[Any]] = {
        "cell": cells,
        "algorithm": [cell.algorithm.name for cell in cells.values()],
        "transport": [cell.transport for cell in cells.values()],
    }
    factors = dict.fromkeys(name for cell in cells.values() for name in cell.factors)
    factors |= dict.fromkeys(name for row in rows for name in row.pop("_factors", ()))
    fixed = {column.name for column in (*_BEFORE, *_AFTER)}
    levels = {name: [c.factors.get(name) for c in cells.values()] for name in factors}
    return _assemble(rows, orders, {k: v for k, v in levels.items() if k not in fixed})


def _row(trial: Trial) -> dict[str, Any]:
    record = trial.record
    factors = record.spec.get("factors") or {}
    figures = trial.figures()
    return {
        **factors,
        **{name: figures.get(name) for name in _FIGURE_NAMES},
        "_factors": tuple(factors),
        "trial": record.number,
        "cell": record.cell,
        "block": record.block,
        "attempt": record.attempt,
        "pair": record.pair,
        "direction": record.direction,
        "algorithm": record.asked("algorithm", "name"),
        "transport": record.spec.get("transport"),
        "outcome": record.outcome.value,
        "verdict": record.verdict.value if record.verdict else None,
        "reason": record.reason,
        "rule": record.rule,
        "schema": record.schema_version,
        "warmup": record.warmup,
        "twin_of": record.spec.get("twin_of"),
    }


def _assemble(
    rows: list[dict[str, Any]],
    orders: Mapping[str, Iterable[Any]],
    factors: Mapping[str, Iterable[Any]],
) -> pd.DataFrame:
    data: dict[str, Any] = {}

    def categories(name: str, order: Iterable[Any]) -> None:
        values = [row.get(name) for row in rows]
        levels = dict.fromkeys(level for level in (*order, *values) if level is not None)
        kind = pd.CategoricalDtype(pd.Index(list(levels), dtype="str"), ordered=True)
        data[name] = pd.Series(values, dtype=kind)

    def plain(column: Column) -> None:
        values = [row.get(column.name) for row in rows]
        data[column.name] = pd.Series(values, dtype=_DTYPES[column.kind])

    for column in _BEFORE:
        if column.name in _ORDERED:
            categories(column.name, orders[column.name])
        else:
            plain(column)
    for name, order in factors.items():
        categories(name, order)
    for column in _AFTER:
        plain(column)
    return pd.DataFrame(data)
