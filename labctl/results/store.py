"""A results directory, written: each trial beside its place, to the disk, then renamed into it.

One process writes a run at a time: it holds a lock on the journal, which the kernel gives back when
the process ends, however it ends. So whatever is half-written when a run is opened for writing was
left by a dead process, and is swept.
"""

import json
import os
import secrets
import shutil
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from labctl.errors import ResultsError
from labctl.results import layout
from labctl.results.files import (
    give_to_caller,
    make_folder,
    replace_file,
    sync_folder,
    write_durably,
    writing,
)
from labctl.results.journal import journal_line, lock_journal
from labctl.results.schema import SCHEMA_VERSION, Outcome, TrialRecord

if TYPE_CHECKING:
    import pandas as pd

    from labctl.campaign import Campaign, Plan


class RunStore:
    """One run's directory, open for writing by this process alone. Its methods may be called by several threads."""

    def __init__(self, path: Path, journal: int) -> None:
        self.path = path
        self._journal = journal
        self._lock = threading.RLock()
        self._known: dict[int, set[int | None]] | None = None
        """by trial, the attempts that stand on the disk, None for its result; nobody else writes there, so it is read once"""

    @property
    def name(self) -> str:
        """The run's name, which is its folder's."""
        return self.path.name

    @classmethod
    def create(
        cls,
        out: Path,
        campaign: "Campaign",
        plan: "Plan",
        environment: Mapping[str, Any],
        *,
        now: datetime | None = None,
    ) -> Self:
        """Make the directory of a new run below `out`, and let `latest` point at it.

        Raises:
            LabctlError: it cannot be written.
        """
        from labctl.campaign import dump_campaign

        text = campaign.source_text or dump_campaign(campaign)
        with writing(out):
            make_folder(out)
            path = _new_folder(out, layout.run_name(campaign.name, now or datetime.now(UTC)))
            store = cls(path, lock_journal(path / layout.JOURNAL))
            write_durably(path / layout.CAMPAIGN, text.encode())
            for name, trace in campaign.traces.items():
                write_durably(path / name, trace.encode())
            store.write_environment(environment)
            (path / layout.TRIALS).mkdir()
            give_to_caller(path / layout.TRIALS)
            store.journal("created", schema_version=SCHEMA_VERSION, pid=os.getpid())
            store.write_plan(plan)  # last: what has a plan is a run
            _point_latest(out, path.name)
        return store

    @classmethod
    def resume(cls, run: str | Path, out: Path = Path("runs")) -> Self:
        """Open an existing run for writing, and sweep what a dead process left half-written.

        Raises:
            RunNotFound: no such run; the mend has the nearest names.
            LabHeld: a living process writes it.
        """
        path = layout.find_run(run, out)
        with writing(path):
            store = cls(path, lock_journal(path / layout.JOURNAL))
            for left in (path / layout.TRIALS).glob(f"{layout.UNFINISHED}*"):
                shutil.rmtree(left)
            for left in path.glob(".*.new"):
                left.unlink()
            store.journal("resumed", pid=os.getpid())
        return store

    def write_plan(self, plan: "Plan") -> None:
        """Write or replace plan.json."""
        with writing(self.path):
            replace_file(self.path / layout.PLAN, plan.to_json().encode())

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Write or replace environment.json."""
        data = {"schema_version": SCHEMA_VERSION, **environment}
        with writing(self.path):
            text = json.dumps(data, indent=1, default=str) + "\n"
            replace_file(self.path / layout.ENVIRONMENT, text.encode())

    def write_trial(
        self,
        record: TrialRecord,
        *,
        beats: "pd.DataFrame | None" = None,
        samples: "pd.DataFrame | None" = None,
        events: Iterable[Mapping[str, Any]] = (),
        logs: Mapping[str, str | bytes] | None = None,
    ) -> Path:
        """Store a trial whole; its folder.

        An interrupted one becomes `<trial>.attempt<k>` with the next free k. `logs` are texts by
        file name. Only `trial.json` is always there: a table that is None leaves no file.

        Raises:
            ResultsError: the trial has a result already. Nothing is overwritten.
            LabctlError: it cannot be written; nothing is left of it.
        """
        trials = self.path / layout.TRIALS
        beside = trials / f"{layout.UNFINISHED}{record.number:04d}.{secrets.token_hex(4)}"
        with writing(trials):
            try:
                beside.mkdir()
                give_to_caller(beside)
                _write_parts(beside, record, beats, samples, events, logs or {})
                sync_folder(beside)
                return self._rename_into_place(beside, record)
            finally:
                shutil.rmtree(beside, ignore_errors=True)

    def _rename_into_place(self, beside: Path, record: TrialRecord) -> Path:
        trials = self.path / layout.TRIALS
        folder = layout.trial_folder(record.name)
        with self._lock:
            if record.outcome is Outcome.INTERRUPTED:
                folder += f".attempt{self.next_attempt(record.number)}"
            elif None in self._stored().get(record.number, ()):
                raise ResultsError(
                    "has a result already; it is not overwritten", place=str(trials / folder)
                )
            beside.rename(trials / folder)
            sync_folder(trials)
            attempt = layout.folder_of(trials / folder).attempt
            self._stored().setdefault(record.number, set()).add(attempt)
        return trials / folder

    def finished(self) -> set[int]:
        """The numbers of the trials that have a result."""
        with self._lock:
            return {number for number, attempts in self._stored().items() if None in attempts}

    def used(self) -> set[int]:
        """The numbers of the trials that have a result or an interrupted attempt."""
        with self._lock:
            return set(self._stored())

    def next_attempt(self, number: int) -> int:
        """What to call the next attempt at a trial: 1 for the first."""
        with self._lock:
            attempts = [
                attempt for attempt in self._stored().get(number, ()) if attempt is not None
            ]
            return max(attempts, default=0) + 1

    def _stored(self) -> dict[int, set[int | None]]:
        """What is stored, under the lock."""
        if self._known is None:
            self._known = {}
            for found in layout.trial_folders(self.path):
                self._known.setdefault(found.number, set()).add(found.attempt)
        return self._known

    def journal(self, event: str, **data: Any) -> None:
        """Append one line to journal.jsonl. It is in the kernel's hands when this returns."""
        line = journal_line(event, data)
        with writing(self.path / layout.JOURNAL), self._lock:
            while line:
                line = line[os.write(self._journal, line) :]

    def close(self) -> None:
        """Give the run back. Closing twice does no harm."""
        if self._journal >= 0:
            os.close(self._journal)
            self._journal = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _write_parts(
    folder: Path,
    record: TrialRecord,
    beats: "pd.DataFrame | None",
    samples: "pd.DataFrame | None",
    events: Iterable[Mapping[str, Any]],
    logs: Mapping[str, str | bytes],
) -> None:
    from labctl.results import raw

    if beats is not None:
        write_durably(folder / layout.BEATS, raw.to_parquet(beats))
    if samples is not None:
        write_durably(folder / layout.SAMPLES, raw.to_parquet(samples))
    write_durably(folder / layout.EVENTS, raw.events_to_jsonl(events))
    for name, text in logs.items():
        if Path(name).name != name or not name.endswith(".log"):
            raise ValueError(f"{name!r} is not the plain name of a .log file")
        write_durably(folder / name, text if isinstance(text, bytes) else text.encode())
    write_durably(folder / layout.RECORD, record.to_json().encode())


def _new_folder(out: Path, name: str) -> Path:
    """A new folder of that name; a second run of the same second gets `-2`."""
    for count in range(1, 1000):
        path = out / (name if count == 1 else f"{name}-{count}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        give_to_caller(path)
        return path
    raise ResultsError(f"there are too many runs called {name}", place=str(out))


def _point_latest(out: Path, name: str) -> None:
    """Let `latest` point at a run. A file or folder of that name, which is not ours, stays."""
    latest = out / layout.LATEST
    if latest.exists() and not latest.is_symlink():
        return
    for left in out.glob(f".{layout.LATEST}.*.new"):
        if not Path("/proc", left.name.split(".")[2]).exists():
            left.unlink(missing_ok=True)  # of a process that was killed right here
    beside = out / f".{layout.LATEST}.{os.getpid()}.new"
    beside.unlink(missing_ok=True)
    beside.symlink_to(name)
    give_to_caller(beside)
    beside.replace(latest)
