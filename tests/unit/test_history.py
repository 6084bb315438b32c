"""The history of runs as OpenMetrics text: what it says is what the results directory says, at its true time."""

import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.lab.fake import Script
from labctl.monitoring.gathering import Gathering
from labctl.monitoring.history import write_history
from labctl.monitoring.metric import HISTORY
from labctl.monitoring.metrics import SAMPLES, all_metrics
from labctl.monitoring.readings import METRICS
from labctl.monitoring.timing import TimeOfDay
from labctl.results import load_run
from labctl.results.figures.seen import Seen
from tests import synthetic
from tests.fakes import Session, campaign
from tests.unit.test_cli import Said

Key = tuple[str, tuple[tuple[str, str], ...]]


_LINE = re.compile(r"(?P<name>\w+)\{(?P<labels>.*)\} (?P<value>\S+) (?P<t_s>\d+\.\d{3})")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def read(path: Path) -> dict[Key, list[tuple[int, float]]]:
    """By name and labels: (ms, value), in the order of the text. prometheus-client's own reader loses samples where a group has
    several moments.
    """
    found: defaultdict[Key, list[tuple[int, float]]] = defaultdict(list)
    *lines, end, after = path.read_bytes().decode().split("\n")
    assert (end, after) == ("# EOF", "")
    for line in lines:
        if line.startswith("#"):
            continue
        parts = _LINE.fullmatch(line)
        assert parts is not None, line
        labels = [(name, unescaped(value)) for name, value in _LABEL.findall(parts["labels"])]
        key = parts["name"], tuple(sorted(labels))
        found[key].append((round(float(parts["t_s"]) * 1e3), float(parts["value"])))
    return dict(found)


def unescaped(value: str) -> str:
    return re.sub(
        r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], value, flags=re.DOTALL
    )


def names(path: Path) -> list[str]:
    """The metrics of a text, in its order."""
    return re.findall(r"^# TYPE (\w+) ", path.read_text(), re.MULTILINE)


def of(
    found: dict[Key, list[tuple[int, float]]], name: str, **labels: str
) -> list[tuple[int, float]]:
    """The one series of a metric whose labels hold these."""
    (series,) = [
        s for (known, has), s in found.items() if known == name and labels.items() <= set(has)
    ]
    return series


def test_samples_stand_at_their_true_times(tmp_path: Path) -> None:
    run = load_run(synthetic.fake_run(tmp_path, trials=1))
    count = write_history([run], tmp_path / "h.om").samples
    found = read(tmp_path / "h.om")
    assert count == sum(len(series) for series in found.values())
    trial = run.trial(1)
    time_of_day = TimeOfDay.of(trial.record)
    assert time_of_day is not None
    seen = Seen(trial.record, trial.beats, trial.samples, trial.events)
    compared = 0
    for side in ("source", "destination"):
        for series in SAMPLES:
            name = METRICS[f"sample_{series.name}"].full_name
            rows = trial.samples[trial.samples["side"] == side].dropna(subset=[series.column])
            if rows.empty:
                continue
            shift_ns = seen.shift_ns(side)
            assert shift_ns is not None
            t_ms = [time_of_day.ms(int(t_ns) + shift_ns) for t_ns in rows["request_ns"]]
            last = dict(zip(t_ms, rows[series.column].astype(float) * series.scale, strict=True))
            assert of(found, name, side=side) == list(last.items())
            compared += len(last)
    assert compared > 1000
    blackout = seen.blackout
    assert blackout is not None
    away = of(found, "labctl_sample_blackout")
    assert away[1:] == [
        (time_of_day.ms(blackout.start_ns), 1.0),
        (time_of_day.ms(blackout.end_ns), 0.0),
    ]
    work = of(found, "labctl_sample_guest_work_bytes_per_second")
    beats = seen.beats
    first, last_ms = time_of_day.ms(int(beats.t_ns[0])), time_of_day.ms(int(beats.t_ns[-1]))
    assert first < work[0][0] <= first + 10
    assert last_ms - 10 < work[-1][0] <= last_ms
    assert {after - before for (before, _), (after, _) in pairwise(work)} == {10}
    grid = np.array([beats.t_ns[0], beats.t_ns[0] + (len(work)) * 10_000_000], dtype=np.int64)
    written = np.diff(beats.work_at(grid))[0] * 4096
    assert sum(rate for _, rate in work) / 100 == pytest.approx(written)


def test_a_run_stands_in_it_as_its_events_happened(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.run([Script()] * 3, campaign(repetitions="2", warmups="1"))
    write_history([session.stored], tmp_path / "h.om")
    found = read(tmp_path / "h.om")
    left = [value for _, value in of(found, "labctl_run_trials_left")]
    assert list(dict.fromkeys(left)) == [3, 2, 1, 0]
    completed = of(found, "labctl_trials_total", outcome="completed")
    assert list(dict.fromkeys(value for _, value in completed)) == [0, 1, 2]
    assert [value for _, value in of(found, "labctl_run_running")][-1] == 0
    for series in found.values():
        assert all(before < after for (before, _), (after, _) in pairwise(series))
    trials = [
        value for (name, _), s in found.items() if name == "labctl_trial_info" for _, value in s
    ]
    assert trials == [1, 0] * 3


def test_it_holds_what_the_table_says_and_nothing_else(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.run([Script()])
    synthetic_run = load_run(synthetic.fake_run(tmp_path / "more", trials=1))
    write_history([session.stored, synthetic_run], tmp_path / "h.om")
    named = names(tmp_path / "h.om")
    assert len(set(named)) == len(named)
    known = {metric.full_name.removesuffix("_total"): metric for metric in all_metrics()}
    assert all(HISTORY in known[name].ways for name in named)
    said = {name for name, metric in known.items() if HISTORY in metric.ways}
    # What this machine has nothing to say of: no figure of it in either run.
    assert len(said.difference(named)) < len(said) / 3


def test_what_is_put_down_meanwhile_comes_back_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = load_run(synthetic.fake_run(tmp_path, trials=2))
    write_history([run], tmp_path / "held.om")
    monkeypatch.setattr("labctl.monitoring.gathering.MAX_HELD", 100)
    write_history([run], tmp_path / "put.om")
    assert (tmp_path / "put.om").read_bytes() == (tmp_path / "held.om").read_bytes()


@given(st.text(max_size=12))
def test_any_label_is_read_back(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    path = tmp_path_factory.mktemp("gathering") / "h.om"
    gathering = Gathering(path.parent)
    with path.open("w", encoding="utf-8", newline="") as file:
        gathering.add(METRICS["run_running"], {"run": value}, [(1_500, 1.0)])
        gathering.join(file)
    assert read(path) == {("labctl_run_running", (("run", value),)): [(1_500, 1.0)]}


def test_of_a_histogram_all_series_are_said_at_each_moment(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.run([Script()] * 3, campaign(repetitions="3"))
    write_history([session.stored], tmp_path / "h.om")
    series = {
        key: [t_ms for t_ms, _ in moments]
        for key, moments in read(tmp_path / "h.om").items()
        if key[0].startswith("labctl_trial_total_time_seconds_")
    }
    assert len({tuple(moments) for moments in series.values()}) == 1
    lines = (tmp_path / "h.om").read_text().splitlines()
    of_one = [line for line in lines if line.startswith("labctl_trial_total_time_seconds_")]
    moments = [line.rsplit(" ", 1)[1] for line in of_one]
    assert moments == sorted(moments)


def test_the_verb_writes_it_and_says_what_is_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    synthetic.fake_run(tmp_path / "runs", trials=2)
    said = Said("export", "--openmetrics", "h.om")
    assert said.status == 0
    assert said.out.startswith("h.om: ")
    assert "promtool tsdb create-blocks-from openmetrics h.om DATA" in said.err
    assert (tmp_path / "h.om").read_text().endswith("# EOF\n")
    nowhere = Said("export", "--openmetrics", "nowhere/h.om")
    assert nowhere.status == 1
    assert "nowhere" in nowhere.err
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".labctl-")] == []
