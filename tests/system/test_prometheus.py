"""A real campaign under the eyes of a real Prometheus, which is killed in the middle of it and started again.

One run is the data of all tests here: scraped each second, its samples written, and in the end backfilled.
"""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from labctl.errors import LabError
from labctl.monitoring import discovery
from labctl.monitoring.gathering import Gathering
from labctl.monitoring.history import write_history
from labctl.monitoring.metric import SCRAPED
from labctl.monitoring.metrics import CELL_SCORES, all_metrics
from labctl.monitoring.prometheus import Prometheus, prometheus
from labctl.monitoring.replay import Replay, lab_of, new_standing
from labctl.monitoring.samples import RunSeries
from labctl.results import load_run
from labctl.results.run import Run
from scripts.boards.answers import Asked
from tests.prometheus import Server, free_address, needed, node_exporter
from tests.system.conftest import own_state_root
from tests.system.processes import of_state_root, wait_until, wait_until_gone
from tests.unit.test_dashboards import BOARDS, RULES, panels

pytestmark = [pytest.mark.root, pytest.mark.qemu, pytest.mark.slow, pytest.mark.timeout(300)]

COMMAND = str(Path(sys.executable).parent / "labctl")
CAMPAIGN = """\
name: watched
guest: {memory: 64MiB, working_set: 16MiB, write_rate: 200MiB/s}
link: {bandwidth: 400Mbit/s}
algorithms: {throttle: {kind: precopy, auto_converge: true, auto_converge_initial: 90}}
matrix: {algorithm: [throttle, postcopy]}
limits: {total_time: 30s, downtime: 150ms}
repetitions: 3
warmups: 0
"""
TRIALS = 6
KILLED_AFTER, STARTED_AFTER = 2, 4
"""trials"""
STEP_S = 1.0

SILENT = {
    "RDMA data": "no RDMA hardware here",
    "RDMA waits": "no RDMA hardware here",
    "RDMA discards": "no RDMA hardware here",
}
"""panels that may have no data, and why"""


@dataclass
class Watched:
    """What became of the run."""

    run: Run
    server: Server
    start_s: float
    end_s: float
    said: str
    """by `labctl run`"""
    page: str
    """Prometheus' console page, in the middle of the run"""

    @property
    def prometheus(self) -> Prometheus:
        """That runs now."""
        return self.server.prometheus

    @property
    def window(self) -> str:
        """A length of time that holds the run."""
        return f"{self.end_s - self.start_s + 5:.0f}s"

    def raw(self, selector: str) -> dict[frozenset[tuple[str, str]], list[tuple[int, float]]]:
        """Every sample of some series, in the run's time, as it is stored."""
        found = self.prometheus.query(f"{selector}[{self.window}]", self.end_s + 2)
        return {
            frozenset(series["metric"].items()): [
                (round(float(t_s) * 1e3), float(value)) for t_s, value in series["values"]
            ]
            for series in found
        }

    def last(self, selector: str) -> list[float]:
        """The last values of series that were scraped."""
        asked = f"last_over_time({selector}[{self.window}])"
        found = self.prometheus.query(asked, self.end_s + 3)
        return [float(series["value"][1]) for series in found]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    needed("prometheus", "promtool", "prometheus-node-exporter")
    here = tmp_path_factory.mktemp("watched")
    (here / "watched.yaml").write_text(CAMPAIGN)
    with ExitStack() as opened, pytest.MonkeyPatch.context() as patch:
        opened.enter_context(own_state_root())
        server = opened.enter_context(Server(here / "prometheus"))
        patch.setenv(discovery.FOLDER, str(server.targets))
        opened.enter_context(node_exporter(server.targets))
        server.start()
        with (here / "said").open("w") as said:
            process = subprocess.Popen(
                [COMMAND, "run", "watched.yaml", "--metrics", "0", "--remote-write", server.write_url],
                cwd=here, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            )  # fmt: skip

        def until(trials: int, what: str) -> None:
            def there() -> bool:
                assert process.poll() is None, (here / "said").read_text()
                return _ended(here) >= trials

            wait_until(there, what, 90)

        try:
            until(KILLED_AFTER - 1, "the first trial")
            wait_until(lambda: _phases(server.prometheus) > 0, "what runs is in Prometheus", 30)
            page = _get(f"http://{server.address}/consoles/labctl.html")
            until(KILLED_AFTER, "the trials before the kill")
            server.kill()
            until(STARTED_AFTER, "the trials without Prometheus")
            server.start()
            process.wait(120)
        finally:
            process.kill()
            process.wait()
        run = load_run("latest", here / "runs")
        times = [at_s for at_s, _ in Replay(run).new()]
        yield Watched(run, server, times[0], times[-1], (here / "said").read_text(), page)


def _ended(here: Path) -> int:
    return sum(
        p.read_text().count('"TrialEnded"') for p in here.glob("runs/watched-*/journal.jsonl")
    )


def _phases(server: Prometheus) -> int:
    return len(server.query("labctl_trial_phase == 1"))


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


# --- live ---


def test_no_trial_is_lost_when_prometheus_is(watched: Watched) -> None:
    frame = watched.run.frame()
    assert frame["outcome"].tolist() == ["completed"] * TRIALS
    assert frame["memory_identical"].all()
    assert "remote write waits: " in watched.said
    assert "remote write goes on" in watched.said
    assert f"{TRIALS} trials: {TRIALS} completed" in watched.said


def test_samples_of_all_trials_are_sent_when_it_is_back(watched: Watched) -> None:
    """What was sent is what the results hold, at the same millisecond."""
    assert watched.last('labctl_remote_write_trials_total{fate="sent"}') == [TRIALS]
    assert watched.last('labctl_remote_write_trials_total{fate!="sent"}') == [0, 0]
    assert watched.last("labctl_remote_write_retries_total")[0] > 0
    _assert_samples_are_the_results(watched)


def test_what_is_scraped_last_is_how_the_run_ended(watched: Watched) -> None:
    assert watched.last("labctl_run_running") == [0]
    assert watched.last("labctl_run_trials_left") == [0]
    assert watched.last("labctl_run_left_seconds") == [0]
    assert watched.last("labctl_events_dropped_total") == [0]
    assert sum(watched.last('labctl_trials_total{outcome="completed"}')) == TRIALS
    frame = watched.run.frame()
    assert sum(watched.last("labctl_trial_blackout_seconds_count")) == TRIALS
    total_s = frame["total_time_ms"].sum() / 1e3
    assert sum(watched.last("labctl_trial_total_time_seconds_sum")) == pytest.approx(total_s)
    for algorithm, trials in frame.groupby("algorithm"):
        median_s = trials["total_time_ms"].median() / 1e3
        found = watched.last(f'labctl_cell_total_time_seconds{{algorithm="{algorithm}"}}')
        assert found == [pytest.approx(median_s)]


def test_every_metric_that_is_scraped_has_been_seen(watched: Watched) -> None:
    """But for figures that these few trials do not have."""
    seen = {str(name).removesuffix("_count") for name in _names(watched)}
    absent = {
        metric.full_name for metric in all_metrics()
        if SCRAPED in metric.ways and metric.full_name not in seen
    }  # fmt: skip
    scores = {f"labctl_cell_{cell.name}" for cell in CELL_SCORES}
    assert absent - scores <= {"labctl_guest_blackout_seconds"}, absent
    assert len(absent) <= 3, absent


def _names(watched: Watched) -> list[str]:
    url = f"{watched.prometheus.url}/api/v1/label/__name__/values"
    names: list[str] = json.loads(_get(url))["data"]
    return names


def test_the_page_shows_what_runs_and_leads_to_graphs(watched: Watched) -> None:
    assert watched.run.name in watched.page
    assert "<td>a-b<td>" in watched.page
    assert "/graph?g0.tab=0" in watched.page
    assert "error" not in watched.page.lower()
    afterwards = " ".join(_get(watched.prometheus.page).split())
    assert f"{TRIALS} of {TRIALS} trials done" in afterwards
    assert "nothing" in afterwards, afterwards.split("<h2>")[1]
    assert afterwards.count('<td class="n">100 %') == 2


# --- each query of each panel, and of the rules ---


def _asked(watched: Watched, trial: int) -> Asked:
    """What a dashboard asks that shows the run, and one trial of it."""
    series = RunSeries(watched.run, lab_of(watched.run)).of(trial)
    (info,) = [of for of in series if of.metric.name == "trial_info"]
    selected = {"run": watched.run.name, "trial": str(trial)}
    within = (info.t_ms[0] / 1e3, info.t_ms[-1] / 1e3)
    return Asked(watched.prometheus, watched.start_s, watched.end_s + 3, selected, within)


@pytest.mark.parametrize("name", BOARDS)
def test_every_query_of_every_panel_has_data(watched: Watched, name: str) -> None:
    trials = watched.run.frame().groupby("algorithm")["trial"].first()
    asked = [_asked(watched, trial) for trial in trials]
    empty = {
        f"{panel['title']}: {target['expr']}"
        for panel in panels(name)
        for target in panel.get("targets", [])
        if panel["title"] not in SILENT and not any(of_trial.answers(target) for of_trial in asked)
    }
    assert not empty, "\n".join(sorted(empty))


@pytest.mark.parametrize("name", BOARDS)
def test_every_variable_has_values(watched: Watched, name: str) -> None:
    for variable in BOARDS[name]["templating"]["list"]:
        if variable["type"] != "query":
            continue
        query = variable["query"]
        asked = query if isinstance(query, str) else query["query"]
        series, label = asked.removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
        expression = _asked(watched, 1).filled(f"last_over_time({series}[{watched.window}])")
        found = watched.prometheus.query(f"count by ({label}) ({expression})", watched.end_s)
        assert {label} == {key for one in found for key in one["metric"]}, asked


def test_every_rule_has_data(watched: Watched) -> None:
    """An alert says nothing when all is well: what it compares with its limit has data."""
    groups = YAML(typ="safe").load(RULES.read_text())["groups"]
    for rule in chain.from_iterable(group["rules"] for group in groups):
        expression = rule["expr"].split(">")[0] if "alert" in rule else rule["expr"]
        expression = expression.replace("[30m]", "[30s]")
        found = watched.prometheus.query_range(expression, watched.start_s, watched.end_s, STEP_S)
        assert found, rule
        if "record" in rule:
            assert watched.raw(rule["record"]), rule
    assert _get(f"{watched.prometheus.url}/api/v1/alerts").count('"alertname"') == 0


# --- afterwards ---


def test_a_backfill_completes_what_it_missed(watched: Watched, tmp_path: Path) -> None:
    """Comes last here: Prometheus is started again, with the blocks."""
    gap = watched.raw("labctl_run_trials_left")
    written = _backfilled(watched, tmp_path)
    stored = watched.raw(f'{{run="{watched.run.name}"}}')
    assert sum(map(len, stored.values())) >= written
    after = watched.raw('labctl_run_trials_left{job=""}')
    left = {value for _, value in chain.from_iterable(after.values())}
    assert left == set(range(TRIALS + 1))
    assert {value for _, value in chain.from_iterable(gap.values())} < left
    _assert_samples_are_the_results(watched)
    _assert_standing_is_the_results(watched)


def _backfilled(watched: Watched, folder: Path) -> int:
    history = folder / "history.om"
    written: Gathering = write_history([watched.run], history)
    watched.server.end()
    watched.server.backfill(history)
    watched.server.start()
    return written.samples


def _assert_samples_are_the_results(watched: Watched) -> None:
    expected: dict[tuple[str, frozenset[tuple[str, str]]], list[tuple[int, float]]] = {}
    series = RunSeries(watched.run, lab_of(watched.run))
    for of in chain.from_iterable(series.of(number) for number in range(1, TRIALS + 1)):
        if of.metric.name.startswith("sample_"):
            moments = zip(of.t_ms.tolist(), of.values.tolist(), strict=True)
            key = of.metric.full_name, frozenset(of.labels.items())
            expected.setdefault(key, []).extend(moments)
    assert len(expected) > 15
    assert sum(len(moments) for moments in expected.values()) > 10_000
    names = {name for name, _ in expected}
    found = {
        (name, labels - {("__name__", name)}): moments
        for name in names
        for labels, moments in watched.raw(f'{name}{{run="{watched.run.name}"}}').items()
    }
    assert found.keys() == expected.keys()
    for key, samples in expected.items():
        assert found[key] == samples, key


def _assert_standing_is_the_results(watched: Watched) -> None:
    standing = new_standing(watched.run)
    for at_s, event in Replay(watched.run).new():
        standing.take(event, at_s)
    for load, cells in standing.by_load.items():
        for (algorithm, transport), cell in cells.items():
            which = f'algorithm="{algorithm}", transport="{transport}", load="{load}", job=""'
            for name, value in cell.score().items():
                found = watched.last(f"labctl_cell_{name}{{{which}}}")
                assert found == ([] if value != value else [value]), name  # noqa: PLR0124 - NaN


# --- a Prometheus of one's own ---

TINY = """\
name: tiny
guest: {memory: 64MiB, working_set: 16MiB}
link: {bandwidth: 1Gbit/s}
algorithm: postcopy
repetitions: 1
warmups: 0
"""


def test_one_command_has_a_campaign_watched(tmp_path: Path, state_root: Path) -> None:
    needed("prometheus")
    (tmp_path / "tiny.yaml").write_text(TINY)
    address, data = free_address(), tmp_path / "data"
    done = subprocess.run(
        [COMMAND, "monitor", "tiny.yaml", "--end", "--address", address, "--data", data],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"Prometheus: http://{address}/consoles/labctl.html" in done.stderr
    assert "1 trial: 1 completed" in done.stdout
    run = load_run("latest", tmp_path / "runs")
    with prometheus(data, address, targets=tmp_path / "none") as again:
        (left,) = again.query(f'labctl_run_trials_left{{run="{run.name}"}}[5m]')
        assert left["values"][-1][1] == "0", left["values"]
        samples = again.query(f'count_over_time(labctl_sample_blackout{{run="{run.name}"}}[5m])')
        assert samples


def test_its_prometheus_ends_with_it_however_it_ends(tmp_path: Path, state_root: Path) -> None:
    needed("prometheus")
    address = free_address()
    process = subprocess.Popen(
        [COMMAND, "monitor", "--address", address, "--data", tmp_path / "data"],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert f"Prometheus: http://{address}/" in process.stderr.readline()
    assert any("prometheus" in p.argv[0] for p in of_state_root(state_root))
    process.kill()
    process.communicate()
    wait_until_gone(state_root)


def test_another_ones_address_is_not_taken_for_ours(tmp_path: Path, state_root: Path) -> None:
    needed("prometheus")
    address = free_address()
    with (
        prometheus(tmp_path / "one", address, targets=tmp_path / "targets"),
        pytest.raises(LabError, match="address already in use") as raised,
        prometheus(tmp_path / "two", address, targets=tmp_path / "targets"),
    ):
        pass
    assert "--address" in str(raised.value.mend)
