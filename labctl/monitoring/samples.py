"""The samples of a trial as series at their true times: what remote write sends, and the history holds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np

from labctl.monitoring.metric import COMMON, MetricInfo
from labctl.monitoring.metrics import CELL, SAMPLES
from labctl.monitoring.readings import METRICS
from labctl.monitoring.timing import Millis, TimeOfDay
from labctl.monitoring.which import Which, which_of
from labctl.results.figures.seen import Floats, Seen
from labctl.results.run import Run, load_run
from labctl.results.schema import Side, TrialRecord

STEP_MS: Final = 10
"""of the guest's work, which is known at each beat"""
AGAIN_MS: Final = 60_000
"""what does not change is said again this often: Prometheus forgets it after five minutes"""
_PAGE_BYTES: Final = 4096
_SIDES: Final[tuple[Side, ...]] = ("source", "destination")


@dataclass(frozen=True)
class SeriesOf:
    """A series of a metric: (n,) moments, rising, and (n,) values."""

    metric: MetricInfo
    labels: Mapping[str, str] = field(hash=False)
    t_ms: Millis
    values: Floats
    ends: bool = True
    """nothing comes after these, for now"""

    def cut(self, start: int, end: int) -> "SeriesOf":
        """Its samples from `start` up to and without `end`."""
        ends = self.ends and end >= self.t_ms.size
        return SeriesOf(
            self.metric, self.labels, self.t_ms[start:end], self.values[start:end], ends
        )


class RunSeries:
    """The series of a stored run's trials."""

    def __init__(self, run: Run, lab: str) -> None:
        self._run = run
        self._lab = lab
        self._which = which_of(run.plan)

    def plan_has_grown(self) -> None:
        """Read the plan again."""
        self._run = load_run(self._run.path)
        self._which = which_of(self._run.plan)

    def of(self, number: int) -> Iterator[SeriesOf]:
        """Of one trial; none where its clocks were never read. Raises InputError, ResultsError."""
        trial = self._run.trial(number)
        record = trial.record
        time_of_day = TimeOfDay.of(record)
        if time_of_day is None:
            return
        seen = Seen(record, trial.beats, trial.samples, trial.events)
        common = dict(zip(COMMON, (self._lab, record.campaign, record.run), strict=True))
        labels = {**common, "pair": record.pair or ""}
        identity = labels | identity_of(record, self._which[number])
        for found in (
            *_identity(record, time_of_day, identity),
            *_phases(record, time_of_day, labels),
            *_sampled(seen, time_of_day, labels),
            *_guest(seen, time_of_day, labels),
        ):
            if found.t_ms.size:
                yield found


def identity_of(record: TrialRecord, which: Which) -> dict[str, str]:
    """The labels of `labctl_trial_info`, beside the pair's."""
    hosts = {side: str(getattr(qemu, "host", "")) for side, qemu in record.qemu.items()}
    return {
        "trial": str(record.number),
        "cell": which.cell,
        **dict(zip(CELL, which.key, strict=True)),
        "attempt": str(record.attempt),
        **{side: hosts.get(side, "") for side in _SIDES},
    }


def _sampled(seen: Seen, time_of_day: TimeOfDay, labels: Mapping[str, str]) -> Iterator[SeriesOf]:
    for side in _SIDES:
        for kind in ("migrate", "host"):
            rows = seen.sampled(kind, side)
            if rows.empty:
                continue
            t_ms = time_of_day.all_ms(rows["request_ns"].to_numpy(np.int64))
            for series in SAMPLES:
                if series.column not in rows:
                    continue
                values = rows[series.column].to_numpy(np.float64, na_value=np.nan) * series.scale
                metric = METRICS[f"sample_{series.name}"]
                yield _known(metric, {**labels, "side": side}, t_ms, values)


def _guest(seen: Seen, time_of_day: TimeOfDay, labels: Mapping[str, str]) -> Iterator[SeriesOf]:
    beats = seen.beats
    if len(beats) < 2:
        return
    step_ns = STEP_MS * 1_000_000
    grid = np.arange(int(beats.t_ns[0]), int(beats.t_ns[-1]) + 1, step_ns, dtype=np.int64)
    rates = np.diff(beats.work_at(grid)) * (_PAGE_BYTES / (STEP_MS / 1e3))
    metric = METRICS["sample_guest_work_bytes_per_second"]
    yield _known(metric, labels, time_of_day.all_ms(grid[1:]), rates.astype(np.float64))
    away = seen.blackout
    switches = [(int(beats.t_ns[0]), 0.0)]
    if away is not None:
        switches += [(away.start_ns, 1.0), (away.end_ns, 0.0)]
    yield _steps(METRICS["sample_blackout"], labels, time_of_day, switches)


def _identity(
    record: TrialRecord, time_of_day: TimeOfDay, identity: Mapping[str, str]
) -> Iterator[SeriesOf]:
    entered = sorted(record.times.entered.values())
    if len(entered) > 1:
        switches = [(entered[0], 1.0), (entered[-1], 0.0)]
        yield _steps(METRICS["trial_info"], identity, time_of_day, switches)


def _phases(
    record: TrialRecord, time_of_day: TimeOfDay, labels: Mapping[str, str]
) -> Iterator[SeriesOf]:
    entered = sorted(record.times.entered.items(), key=lambda item: item[1])
    for (phase, start_ns), (_, end_ns) in pairwise(entered):
        switches = [(start_ns, 1.0), (end_ns, 0.0)]
        yield _steps(METRICS["trial_phase"], {**labels, "phase": phase}, time_of_day, switches)


def _steps(
    metric: MetricInfo,
    labels: Mapping[str, str],
    time_of_day: TimeOfDay,
    switches: list[tuple[int, float]],
) -> SeriesOf:
    """A value that stays until the next, said again now and then. Two within a millisecond are a millisecond apart."""
    t_ms: list[int] = []
    values: list[float] = []
    for t_ns, value in switches:
        at_ms = time_of_day.ms(t_ns)
        if t_ms:
            again = range(t_ms[-1] + AGAIN_MS, at_ms, AGAIN_MS)
            values += [values[-1]] * len(again)
            t_ms += again
            at_ms = max(at_ms, t_ms[-1] + 1)
        t_ms.append(at_ms)
        values.append(value)
    return SeriesOf(metric, labels, np.array(t_ms, np.int64), np.array(values, np.float64))


def _known(metric: MetricInfo, labels: Mapping[str, str], t_ms: Millis, values: Floats) -> SeriesOf:
    """Without what is not known; of several within a millisecond, the last."""
    known = ~np.isnan(values)
    t_ms, values = t_ms[known], values[known]
    last = np.append(np.diff(t_ms) > 0, True)[: t_ms.size]
    return SeriesOf(metric, labels, t_ms[last], values[last])
