"""The frame of a run: one row a trial, kept as results.parquet.

The file is derived: it is made anew whenever the plan, a trial or the columns are not those it was
made from, and deleting it loses nothing.
"""

import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path

import pandas as pd

from labctl.errors import LabctlError, ResultsError
from labctl.results import layout, raw
from labctl.results.building import AFTER, BEFORE, build
from labctl.results.columns import Column
from labctl.results.files import replace_file, writing
from labctl.results.run import Run
from labctl.results.schema import SCHEMA_VERSION

_STAMP = "made_from"
_ALWAYS = {"outcome", "warmup", "twin_of"}
"""of the columns behind the factors, those that tell which rows count"""


def frame_columns() -> tuple[tuple[Column, ...], tuple[Column, ...]]:
    """The columns before the campaign's factors, and those after them."""
    return BEFORE, AFTER


def run_frame(
    run_dir: Path, *, warmups: bool = False, columns: Collection[str] | None = None
) -> pd.DataFrame:
    """One row for each trial that has a result, and for each that is unsupported, by number.

    A trial that is still to come has no row. Factors are columns of their own, as categories in the
    order of the campaign. What is not known is empty (`pd.NA`, NaN), never 0. Of the columns behind the factors only those in
    `columns` are read, where these are named (and how the trial ended): of a large run that saves time and memory.

    Raises:
        ResultsError: a file is damaged, or a newer labctl wrote it.
    """
    path, stamp = run_dir / layout.RESULTS, _made_from(run_dir)
    frame = _kept(path, stamp, columns)
    if frame is None:
        whole = build(Run(run_dir))
        _keep(path, raw.to_parquet(whole, **{_STAMP: stamp}))
        frame = whole[_wanted(whole.columns, columns)]
    if warmups:
        return frame
    return frame[~frame["warmup"].fillna(value=False).astype(bool)].reset_index(drop=True)


def _kept(path: Path, stamp: str, columns: Collection[str] | None) -> pd.DataFrame | None:
    """What is kept, if it is made from what there is now."""
    if raw.parquet_metadata(path, _STAMP) != stamp:
        return None
    try:
        return raw.from_parquet(path, _wanted(raw.parquet_columns(path), columns))
    except ResultsError:
        return None  # damaged: it is derived


def _wanted(names: Iterable[str], columns: Collection[str] | None) -> list[str]:
    """All of them; or what identifies a trial, its factors, how it ended, and those asked for."""
    behind = {column.name for column in AFTER} - _ALWAYS
    return [name for name in names if columns is None or name not in behind or name in columns]


def _keep(path: Path, data: bytes) -> None:
    try:
        with writing(path):
            replace_file(path, data)
    except LabctlError:
        return  # a run may be read from where nothing can be written


def _made_from(run_dir: Path) -> str:
    """A digest of all that the frame depends on: files by name, size and time, and the columns."""
    names = [column.name for column in (*BEFORE, *AFTER)]
    digest = hashlib.sha256(f"{SCHEMA_VERSION} {names}".encode())
    records = (f.path / layout.RECORD for f in layout.trial_folders(run_dir) if f.attempt is None)
    for path in (run_dir / layout.PLAN, *sorted(records)):
        try:
            stat = path.stat()
        except OSError:
            continue
        digest.update(f"{path.parent.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
