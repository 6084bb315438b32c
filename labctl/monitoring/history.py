"""Stored runs as OpenMetrics text at their true times, for `promtool tsdb create-blocks-from openmetrics`."""

import tempfile
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Final

from labctl.monitoring.gathering import BOUND, Gathering
from labctl.monitoring.readings import Reading, read
from labctl.monitoring.replay import Replay, lab_of, new_standing
from labctl.monitoring.samples import RunSeries
from labctl.monitoring.standing import Standing
from labctl.results.files import give_to_caller, writing
from labctl.results.run import Run

AGAIN_S: Final = 60.0
"""what does not change is said again this often while a run lasts: Prometheus forgets it after five minutes"""


def write_history(
    runs: Iterable[Run], path: Path, progress: Callable[[str], None] = lambda _trial: None
) -> Gathering:
    """Write the history of runs; what it has. `progress` is told each trial that is done.

    Raises ResultsError where a stored file is damaged, LabctlError where the history cannot be written.
    """
    with writing(path), tempfile.TemporaryDirectory(prefix=".labctl-", dir=path.parent) as folder:
        gathering = Gathering(Path(folder))
        for run in runs:
            _gather_standing(run, gathering)
            series = RunSeries(run, lab_of(run))
            for trial in run.trials():
                for of in series.of(trial.number):
                    moments = zip(of.t_ms.tolist(), of.values.tolist(), strict=True)
                    gathering.add(of.metric, of.labels, moments)
                progress(trial.path.name)
        whole = Path(folder) / path.name
        with whole.open("w", encoding="utf-8", newline="") as file:
            gathering.join(file)
        give_to_caller(whole)
        whole.replace(path)
    return gathering


def _gather_standing(run: Run, gathering: Gathering) -> None:
    """How the run stood after each event, and every minute between them."""
    standing = new_standing(run)
    said = _Said(gathering)
    before_s: float | None = None
    for at_s, event in Replay(run).new():
        while before_s is not None and standing.running and at_s - before_s > AGAIN_S:
            before_s += AGAIN_S
            said.all_of(standing, before_s)
        standing.take(event, at_s)
        said.changes_of(standing, at_s)
        before_s = at_s
    if before_s is not None:
        said.all_of(standing, before_s)


class _Said:
    """What was written of a run's standing."""

    def __init__(self, gathering: Gathering) -> None:
        self._gathering = gathering
        self._known: dict[Hashable, tuple[float, float]] = {}
        """by series: the value written last, and when"""

    def changes_of(self, standing: Standing, at_s: float) -> None:
        """Write what has changed, and what was not said for a while; of a histogram all or nothing."""
        groups: dict[Hashable, list[Reading]] = {}
        for reading in read(standing, at_s, flights=False):
            groups.setdefault((reading.metric.name, _which(reading)), []).append(reading)
        for readings in groups.values():
            if any(self._is_news(reading, at_s) for reading in readings):
                for reading in readings:
                    self._add(reading, at_s)

    def all_of(self, standing: Standing, at_s: float) -> None:
        """Write all of it."""
        for reading in read(standing, at_s, flights=False):
            self._add(reading, at_s)

    def _is_news(self, reading: Reading, at_s: float) -> bool:
        value, said_s = self._known.get(_series(reading), (None, 0.0))
        return value != reading.value or at_s - said_s >= AGAIN_S

    def _add(self, reading: Reading, at_s: float) -> None:
        self._known[_series(reading)] = (reading.value, at_s)
        moment = [(round(at_s * 1e3), reading.value)]
        self._gathering.add(reading.metric, reading.labels, moment, reading.ending)


def _which(reading: Reading) -> Hashable:
    return frozenset(item for item in reading.labels.items() if item[0] != BOUND)


def _series(reading: Reading) -> Hashable:
    return reading.metric.name, reading.ending, frozenset(reading.labels.items())
