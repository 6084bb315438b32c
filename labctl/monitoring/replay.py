"""The events of a stored run, as they happened and when: what live observers were told, told again."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from labctl.events import (
    AttemptInterrupted,
    Event,
    PairLost,
    PairOpened,
    PairReturned,
    PairSetAside,
    PlanGrown,
    RunEnded,
    RunStarted,
    TrialEnded,
    TrialStarted,
)
from labctl.monitoring.standing import Standing
from labctl.results import layout
from labctl.results.journal import JournalReader
from labctl.results.run import Run

_TOLD: Final = {
    kind.__name__: kind
    for kind in (
        RunStarted, TrialStarted, TrialEnded, AttemptInterrupted, PairOpened, PairLost, PairSetAside, PairReturned, PlanGrown,
        RunEnded,
    )
}  # fmt: skip

Timed = tuple[float, Event]
"""the time of day in s, and what happened then"""


class Replay:
    """What a run's journal tells. What happens within a trial is not in it: its samples tell that."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._journal = JournalReader(run.path / layout.JOURNAL)

    def new(self) -> Iterator[Timed]:
        """What was written since this was asked last, with the figures of trials. Raises ResultsError."""
        for line in self._journal.new():
            kind = _TOLD.get(str(line.get("event")))
            try:
                at_s = datetime.fromisoformat(str(line["utc"])).timestamp()
                event = kind(**_arguments(kind, line)) if kind else None
            except (KeyError, TypeError, ValueError):
                continue  # of an older labctl, that told less
            match event:
                case None:
                    continue
                case RunStarted():
                    event = replace(event, lab=event.lab or lab_of(self._run))
                case TrialEnded():
                    event = replace(event, figures=self._figures_of(event.number))
            yield at_s, event

    def _figures_of(self, number: int) -> dict[str, Any]:
        known = self._figures
        return known[number] if number in known else dict(self._run.trial(number).figures())

    @cached_property
    def _figures(self) -> dict[int, dict[str, Any]]:
        """Of each trial that has a result when this is asked first, by number: all at once is quicker than each by itself."""
        from labctl.results.figures import FIGURES, MORE_FIGURES

        frame = self._run.frame(warmups=True)
        names = [figure.column.name for figure in (*FIGURES, *MORE_FIGURES)]
        rows = frame[names].astype("object").where(frame[names].notna(), None).to_dict("records")
        numbers = frame["trial"].tolist()
        return {
            int(number): {str(name): value for name, value in row.items()}
            for number, row in zip(numbers, rows, strict=True)
        }


def new_standing(run: Run) -> Standing:
    """Of a run of which nothing was told yet."""
    return Standing(run.plan, run=run.name)


def lab_of(run: Run) -> str:
    """The name of its lab."""
    return str(run.environment.get("lab", ""))


def _arguments(kind: type, line: Mapping[str, Any]) -> dict[str, Any]:
    said = {field.name: line[field.name] for field in fields(kind) if field.name in line}
    said = {
        name: tuple(value) if isinstance(value, list) else value for name, value in said.items()
    }
    return said | ({"directory": Path(said["directory"])} if "directory" in said else {})
