"""What Prometheus reads of a run, live and from its directory, and what comes of a run that is large or goes wrong."""

import json
import re
import shutil
import subprocess
import urllib.request
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from labctl.campaign import Campaign, Plan, make_plan
from labctl.errors import InputError, LabctlError
from labctl.events import (
    Event,
    GuestSeen,
    PairSetAside,
    Progress,
    RunStarted,
    StateEntered,
    TrialEnded,
    TrialStarted,
)
from labctl.lab.fake import Script
from labctl.monitoring import discovery
from labctl.monitoring.following import Follower
from labctl.monitoring.live import LAST_READ_S, FollowedMetrics, LiveMetrics
from labctl.monitoring.metrics import RESULTS, all_metrics
from labctl.monitoring.readings import Reading, read
from labctl.monitoring.reference import metrics_page
from labctl.monitoring.replay import Replay, new_standing
from labctl.monitoring.serving import parse_address, served, text_of
from labctl.monitoring.standing import Standing
from labctl.monitoring.which import MAX_ALGORITHMS, MAX_CELLS, OTHER
from labctl.results import load_run
from tests import synthetic
from tests.fakes import Session, Told, campaign
from tests.unit.test_controller_resume import CtrlC

MOVES = {"labctl_run_left_seconds", "labctl_trial_elapsed_seconds"}
"""change by themselves"""


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path / "runs")


Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def values(collector: Collector) -> Values:
    """What a scrape would read: by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(text_of([collector]))
        for sample in family.samples
    }


def families(text: str) -> Iterable[Metric]:
    found: Iterable[Metric] = text_string_to_metric_families(text)
    return found


def of(found: Values, name: str, **labels: str) -> list[float]:
    """The values of a metric whose labels hold these."""
    return [
        value
        for (known, has), value in found.items()
        if known == name and labels.items() <= set(has)
    ]


# --- the table ---


def test_names_units_and_docs_follow_the_conventions() -> None:
    metrics = list(all_metrics())
    names = [metric.full_name for metric in metrics]
    assert len(set(names)) == len(names)
    for metric in metrics:
        assert re.fullmatch(r"labctl_[a-z_]+", metric.full_name)
        assert not re.search(r"_(ms|ns|mib|kib|percent|minutes)(_|$)", metric.full_name)
        assert metric.full_name.endswith("_total") == (metric.kind == "counter")
        assert metric.about
        assert metric.ways


def test_a_trials_number_and_cell_stand_in_one_metric_alone() -> None:
    with_identity = {
        metric.name for metric in all_metrics() if {"trial", "cell"} & {*metric.labels}
    }
    assert with_identity == {"trial_info"}


def test_the_reference_page_is_what_the_code_says() -> None:
    page = Path(__file__).parents[2] / "docs/reference/metrics.md"
    assert page.read_text() == metrics_page(), (
        "run `python -m labctl.monitoring.reference > docs/reference/metrics.md`"
    )


def test_promtool_finds_nothing_to_complain_of(session: Session) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool (Debian: prometheus)")
    live = LiveMetrics()
    session.run([Script()], observers=[live])
    for collector in (live, FollowedMetrics([session.stored])):
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=text_of([collector]),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


# --- live, and from the directory ---


def test_what_is_served_live_is_what_the_directory_says_later(session: Session) -> None:
    live = LiveMetrics()
    scripts = [Script(lose="observer:observe.wait"), Script(), Script(status="cancelled")]
    session.run(scripts, campaign(repetitions="2", warmups="1"), observers=[live])
    found = values(live)
    later = values(FollowedMetrics([session.stored]))
    moments = {key for key in found if "timestamp" in key[0]}
    itself = {key for key in found if key[0].startswith("labctl_events")}
    same = found.keys() - moments - itself
    assert {key: found[key] for key in same} == {
        key: later[key] for key in later.keys() - moments - itself
    }
    for key in moments:
        assert found[key] == pytest.approx(later[key], abs=0.1)
    assert of(found, "labctl_run_running") == [0]
    assert of(found, "labctl_run_trials_planned") == [3]
    assert of(found, "labctl_run_trials_left") == [0]
    assert of(found, "labctl_trials_total", outcome="completed") == [1]
    assert of(found, "labctl_trials_total", outcome="not_converged") == [1]
    assert of(found, "labctl_attempts_interrupted_total") == [1]
    assert of(found, "labctl_lab_pairs", state="idle") == [1]
    assert of(found, "labctl_lab_node_connections") == [3]
    assert of(found, "labctl_events_dropped_total") == [0]
    frame = session.stored.frame()
    (total_s,) = frame.loc[frame["outcome"] == "completed", "total_time_ms"] / 1e3
    assert of(found, "labctl_result_total_time_seconds") == [total_s]
    assert of(found, "labctl_trial_total_time_seconds_sum") == [total_s]
    assert of(found, "labctl_cell_completed_ratio") == [0.5]


def test_a_resumed_run_counts_on(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = LiveMetrics(), LiveMetrics()
    keys = CtrlC(monkeypatch)

    def at(event: Event) -> None:
        if isinstance(event, TrialStarted) and event.number == 2:
            keys.press()

    asked = campaign(repetitions="3")
    scripts = [Script(), Script(ignore="source:schedule.run")]
    session.run(scripts, asked, told=Told(at), observers=[first])
    assert of(values(first), "labctl_run_trials_left") == [2]
    assert of(values(first), "labctl_run_running") == [0]
    session.run([Script()] * 2, asked, observers=[second])
    found = values(second)
    assert of(found, "labctl_trials_total", outcome="completed") == [3]
    assert of(found, "labctl_run_trials_left") == [0]


def test_a_trial_under_way_is_shown_with_all_that_is_known(tmp_path: Path) -> None:
    run = load_run(synthetic.fake_run(tmp_path, trials=0))
    live = LiveMetrics()
    name = run.plan.trials[0].cell
    for event in (
        RunStarted(run.path, run.name, 10, 0, 60.0, ("a-b",), "rack"),
        TrialStarted(1, name, "a-b", 1, False, 6.0, 60.0),
        StateEntered(1, "precopy", 0),
        Progress(1, "active", 5 * 2**20, 7 * 2**20, 2, 1e6, 2e6, 30, 4),
        GuestSeen(1, 3e6, 0.25),
    ):
        live.handle(event)
    found = values(live)
    assert of(found, "labctl_trial_info", trial="1", pair="a-b", attempt="1") == [1]
    assert of(found, "labctl_trial_phase", phase="precopy") == [1]
    expected = {
        "transferred_bytes": 5 * 2**20, "remaining_bytes": 7 * 2**20, "iteration": 2,
        "dirty_bytes_per_second": 1e6, "bandwidth_bytes_per_second": 2e6, "throttle_ratio": 0.3, "page_requests": 4,
    }  # fmt: skip
    for metric, value in expected.items():
        assert of(found, f"labctl_migration_{metric}", pair="a-b") == [value]
    assert of(found, "labctl_guest_work_bytes_per_second") == [3e6]
    assert of(found, "labctl_guest_blackout_seconds") == [0.25]
    assert of(found, "labctl_lab_pairs", state="busy") == [1]
    live.handle(PairSetAside("a-b", ("a", "b"), "gone", None, 0))
    assert of(values(live), "labctl_lab_pairs", state="aside") == [1]


def test_an_event_that_cannot_be_taken_is_counted_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = load_run(synthetic.fake_run(tmp_path, trials=0))
    live = LiveMetrics()
    live.handle(RunStarted(run.path, run.name, 10, 0, 60.0, ("a-b",), "rack"))
    live.handle(TrialStarted(1, run.plan.trials[0].cell, "a-b", 1, False, 6.0, 60.0))
    with monkeypatch.context() as broken:
        broken.setattr(Standing, "score", lambda _self: 1 / 0)
        live.handle(StateEntered(1, "boot", 0))
    live.handle(StateEntered(1, "fill", 0))
    found = values(live)
    assert of(found, "labctl_events_dropped_total") == [1]
    assert of(found, "labctl_trial_phase", phase="fill") == [1]


def test_a_run_whose_process_was_killed_is_not_shown_as_running(session: Session) -> None:
    session.run([Script()] * 2, campaign(repetitions="2"))
    assert session.directory is not None
    journal = session.directory / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    ended = next(place for place, line in enumerate(lines) if b'"TrialEnded"' in line)
    journal.write_bytes(b"".join(lines[: ended + 1]))  # as a killed process leaves it
    follower = Follower(session.stored)
    follower.look()
    assert not follower.standing.running
    assert follower.standing.left == 1
    assert follower.standing.flights == {}


# --- large campaigns ---


def large(repetitions: int, rates: int = 25, algorithms: int = 4) -> Plan:
    named = ["precopy", "postcopy", "hybrid", "stop_and_copy"][:algorithms]
    return make_plan(
        Campaign.model_validate(
            {
                "name": "large",
                "guest": {"memory": "64MiB", "working_set": "16MiB"},
                "link": {"bandwidth": "1Gbit/s"},
                "matrix": {"algorithm": named, "write_rate": [f"{n}MiB/s" for n in range(rates)]},
                "repetitions": str(repetitions),
                "warmups": "0",
            }
        )
    )


def after_all(plan: Plan, path: Path) -> list[Reading]:
    """All readings when every trial of a plan has completed, and one is under way."""
    standing = Standing(plan, run="r")
    standing.take(RunStarted(path, "r", len(plan.trials), 0, 1.0, ("a-b", "c-d"), "lab"), 0.0)
    figures = {result.column: 1.0 for result in RESULTS}
    for place, trial in enumerate(plan.trials):
        pair = ("a-b", "c-d")[place % 2]
        name = f"{trial.number}"
        standing.take(TrialStarted(trial.number, name, pair, 1, False, 1.0, 1.0), 0.0)
        if place < len(plan.trials) - 1:
            standing.take(
                TrialEnded(
                    trial.number, name, "completed", "on_destination", None, False, 1.0, figures
                ),
                0.0,
            )
    return list(read(standing, 1.0))


def test_ten_thousand_trials_have_no_more_series_than_three_hundred(tmp_path: Path) -> None:
    few, many = (after_all(large(repetitions), tmp_path) for repetitions in (3, 100))
    assert len(large(100).trials) == 10_000
    assert len(many) == len(few) < 2_000
    distinct: defaultdict[str, set[str]] = defaultdict(set)
    for reading in many:
        for label, value in reading.labels.items():
            if label != "le":
                distinct[label].add(value)
    assert len(distinct["algorithm"]) <= MAX_ALGORITHMS + 1
    assert len(distinct["load"]) <= MAX_CELLS + 1
    assert OTHER in distinct["load"]
    assert len(distinct["trial"]) == 1
    assert all(len(found) <= MAX_CELLS + 1 for found in distinct.values())
    counted = [reading.value for reading in many if reading.metric.name == "trials"]
    assert sum(counted) == 9_999


# --- the page ---


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", ("127.0.0.1", 9837)),
        ("9100", ("127.0.0.1", 9100)),
        (":9100", ("127.0.0.1", 9100)),
        ("10.0.0.1:9100", ("10.0.0.1", 9100)),
        ("[::1]:9100", ("::1", 9100)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["a:b", "host:9100", "1.2.3.4:99999", "1.2.3.4:", "x"])
def test_no_address(text: str) -> None:
    if text == "1.2.3.4:":
        assert parse_address(text) == ("1.2.3.4", 9837)
        return
    with pytest.raises(InputError, match="is no address") as raised:
        parse_address(text)
    assert raised.value.mend


def test_a_port_that_is_taken_is_told_and_loopback_is_where_it_listens(tmp_path: Path) -> None:
    collector = FollowedMetrics([load_run(synthetic.fake_run(tmp_path, trials=1))])
    with served([collector], "0") as url:
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert b"labctl_run_running" in answer.read()
        port = url.split(":")[2].split("/")[0]
        with pytest.raises(LabctlError, match="cannot be listened on") as raised, served([], port):
            pass
        assert raised.value.place == f"--metrics 127.0.0.1:{port}"
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=10)


def test_where_a_run_is_served_is_told_to_prometheus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(discovery.FOLDER, str(tmp_path / "targets"))
    (tmp_path / "targets").mkdir()
    left = tmp_path / "targets" / f"{2**22 + 1}.json"  # of a process that cannot be
    left.write_text("[]")
    with discovery.announced("http://127.0.0.1:12345/metrics"):
        (file,) = (tmp_path / "targets").iterdir()
        assert json.loads(file.read_text()) == [{"targets": ["127.0.0.1:12345"]}]
    assert list((tmp_path / "targets").iterdir()) == []


def test_it_is_served_a_little_longer_for_those_who_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("labctl.monitoring.live.time.sleep", slept.append)
    run = load_run(synthetic.fake_run(tmp_path, trials=0))
    live = LiveMetrics()
    live.handle(RunStarted(run.path, run.name, 10, 0, 60.0, ("a-b",), "rack"))
    with live.read_to_the_end():
        pass
    assert slept == []  # nobody did
    with live.read_to_the_end():
        values(live)
    assert slept == [LAST_READ_S]

    def interrupted() -> None:
        with live.read_to_the_end():
            values(live)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert slept == [LAST_READ_S]


def test_replay_of_stored_versions_says_what_their_journals_know() -> None:
    for path in sorted((Path(__file__).parents[1] / "data/runs").glob("v*/*")):
        run = load_run(path)
        standing = new_standing(run)
        for at_s, event in Replay(run).new():
            standing.take(event, at_s)
        ended = len(list(run.trials()))
        assert standing.planned - standing.left in {0, ended}, path.name
