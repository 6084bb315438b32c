"""A stored run, read: with no lab, and years later. Tables are read when they are asked for."""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from labctl.errors import InputError, ResultsError
from labctl.results import layout
from labctl.results.journal import read_journal
from labctl.results.schema import Scalar, TrialRecord, parse_record

if TYPE_CHECKING:
    import pandas as pd

    from labctl.campaign import Campaign, Plan


class Trial:
    """One stored trial. Every attribute may raise ResultsError when its file is damaged or newer."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"Trial({str(self.path)!r})"

    @property
    def number(self) -> int:
        """Its number in the plan, which is in its folder's name."""
        return layout.folder_of(self.path).number

    @property
    def run(self) -> str:
        """The name of its run, which is its folder's."""
        return self.path.parent.parent.name

    @cached_property
    def record(self) -> TrialRecord:
        """What stands in trial.json."""
        return parse_record(_text(self.path / layout.RECORD), place=str(self.path / layout.RECORD))

    @cached_property
    def beats(self) -> "pd.DataFrame":
        """The guest's beats, in order of arrival; an empty table where none were stored."""
        from labctl.results import raw

        path = self.path / layout.BEATS
        return raw.from_parquet(path) if path.exists() else raw.no_beats()

    @cached_property
    def samples(self) -> "pd.DataFrame":
        """Both ends' samples, one long table; empty where none were stored."""
        from labctl.results import raw

        path = self.path / layout.SAMPLES
        return raw.from_parquet(path) if path.exists() else raw.samples_frame([])

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """Events of QEMU, the nodes and the controller."""
        from labctl.results import raw

        path = self.path / layout.EVENTS
        return raw.events_from_jsonl(path) if path.exists() else []

    @property
    def logs(self) -> dict[str, Path]:
        """The logs by file name."""
        return {path.name: path for path in sorted(self.path.glob("*.log"))}

    def figures(self) -> dict[str, Scalar]:
        """The derived columns: as stored, and worked out from the raw data where an older labctl
        did not have them yet.
        """
        from labctl.results.figures import FIGURES, MORE_FIGURES, figures

        stored = self.record.figures
        if all(figure.column.name in stored for figure in (*FIGURES, *MORE_FIGURES)):
            return stored
        return figures(self.record, self.beats, self.samples, self.events) | stored


class Trials(Sequence[Trial]):
    """Stored trials. Each is made when it is asked for and kept by nobody, so a walk over a large run holds what one has read."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __repr__(self) -> str:
        return f"Trials({len(self._paths)})"

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, place: int) -> Trial: ...
    @overload
    def __getitem__(self, place: slice) -> "Trials": ...
    def __getitem__(self, place: int | slice) -> "Trial | Trials":
        if isinstance(place, slice):
            return Trials(self._paths[place])
        return Trial(self._paths[place])


class Run:
    """A stored run: its campaign, its plan, its trials."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def name(self) -> str:
        """The run's name, which is its folder's."""
        return self.path.name

    @property
    def started(self) -> datetime | None:
        """When it was started, in UTC; None when its name does not say."""
        return layout.started_utc(self.name)

    @cached_property
    def campaign(self) -> "Campaign":
        """The campaign as it was run. Raises CampaignError when this labctl no longer reads it."""
        from labctl.campaign import load_campaign

        return load_campaign(self.path / layout.CAMPAIGN)

    @cached_property
    def plan(self) -> "Plan":
        """The plan."""
        from labctl.campaign import Plan

        path = self.path / layout.PLAN
        try:
            return Plan.from_json(_text(path))
        except ValueError as error:
            raise ResultsError(f"is not a plan: {error}", place=str(path)) from None

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What was found on the hosts before the first trial; empty where nothing was stored."""
        path = self.path / layout.ENVIRONMENT
        if not path.exists():
            return {}
        try:
            found = json.loads(_text(path))
        except ValueError as error:
            raise ResultsError(f"is not JSON ({error})", place=str(path)) from None
        return found if isinstance(found, dict) else {}

    @property
    def lab(self) -> str:
        """The lab that it was begun on, as `--lab` takes it."""
        return str(self.environment.get("inventory", self.campaign.lab))

    def journal(self) -> list[dict[str, Any]]:
        """What the controller did and when."""
        return read_journal(self.path / layout.JOURNAL)

    def trials(self, *, warmups: bool = True) -> Trials:
        """Every trial that has a result, by number; without the warm-ups, if told so."""
        left_out = (
            set() if warmups else {trial.number for trial in self.plan.trials if trial.warmup}
        )
        found = [f for f in layout.trial_folders(self.path) if f.attempt is None]
        found = [f for f in found if f.number not in left_out]
        return Trials([folder.path for folder in sorted(found, key=lambda f: f.number)])

    def trial(self, number: int) -> Trial:
        """The result of one trial.

        Raises:
            InputError: it has none.
        """
        folders = [f for f in layout.trial_folders(self.path) if f.attempt is None]
        for folder in folders:
            if folder.number == number:
                return Trial(folder.path)
        numbers = sorted(folder.number for folder in folders)
        have = (
            f"there are results from {numbers[0]} to {numbers[-1]}" if numbers else "none has yet"
        )
        raise InputError(f"trial {number} of {self.name} has no result", mend=have)

    def attempts(self, number: int) -> list[Trial]:
        """The interrupted attempts at a trial, first to last."""
        found = [f for f in layout.trial_folders(self.path) if f.number == number]
        tries = sorted((f.attempt, f.path) for f in found if f.attempt is not None)
        return [Trial(path) for _, path in tries]

    def frame(
        self, *, warmups: bool = False, columns: Collection[str] | None = None
    ) -> "pd.DataFrame":
        """One row a trial: see `labctl.results.frame.run_frame`."""
        from labctl.results.frame import run_frame

        return run_frame(self.path, warmups=warmups, columns=columns)


@dataclass(frozen=True)
class RunInfo:
    """What `labctl ls` says of a run. `planned` is None when its plan cannot be read."""

    name: str
    path: Path
    started: datetime | None
    latest: bool
    planned: int | None
    unsupported: int
    finished: int
    outcomes: dict[str, int]
    """Of the trials that have a result and of the unsupported, warm-ups left out."""


def load_run(run: str | Path = layout.LATEST, out: str | Path = "runs") -> Run:
    """A stored run by its path, its name below `out`, or `latest`.

    Raises:
        RunNotFound: with the nearest names.
    """
    return Run(layout.find_run(run, Path(out)))


def list_runs(out: str | Path = "runs") -> list[RunInfo]:
    """The runs below `out`, oldest first. A damaged one is listed with what can be read of it."""
    out = Path(out)
    latest = (out / layout.LATEST).resolve()
    return [_info(path, path.resolve() == latest) for path in layout.runs_in(out)]


def _info(path: Path, latest: bool) -> RunInfo:
    try:
        planned = [
            bool(trial.get("rule")) for trial in json.loads(_text(path / layout.PLAN))["trials"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, ResultsError):
        planned = None
    try:
        outcomes = dict(Counter(Run(path).frame(columns=["outcome"])["outcome"]))
    except (InputError, ResultsError):
        outcomes = {}
    finished = [folder for folder in layout.trial_folders(path) if folder.attempt is None]
    return RunInfo(
        name=path.name,
        path=path,
        started=layout.started_utc(path.name),
        latest=latest,
        planned=None if planned is None else len(planned),
        unsupported=sum(planned or []),
        finished=len(finished),
        outcomes=outcomes,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError) as error:
        raise ResultsError(f"cannot be read: {error}", place=str(path)) from None
