"""The report: one file, complete, offline, and true to the frame."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from labctl.analysis.frame import factors_of, run_frame, summary
from labctl.analysis.metrics import METRICS
from labctl.campaign import Plan, make_plan
from labctl.errors import LabctlError
from labctl.report import about, pictures
from labctl.report.figures import write_figures
from labctl.report.html import script_json, write_report
from labctl.report.numbers import short
from labctl.report.series import time_course
from labctl.report.terminal import results_table, terminal_plot
from labctl.results import Outcome, RunStore, load_run
from labctl.results.figures import Seen
from tests.synthetic import ENVIRONMENT, fake_run, fake_trial, quickstart, record, write

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "</script><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """The elements of a page, and the text of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.named: dict[str, list[list[str]]] = {}
        self._label = ""
        self.data = ""
        self._cell = self._data = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._data = tag == "script" and dict(attrs).get("id") == "data"
        self._label = dict(attrs).get("aria-label") or self._label
        if tag == "table":
            self.tables.append([])
            self.named.setdefault(self._label, self.tables[-1])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")
            self._cell = True
        elif tag == "small" and self._cell:
            self.tables[-1][-1][-1] += " "

    def by_load(self, name: str) -> dict[str, list[list[str]]]:
        """A table's rows under the load that the heading above them names."""
        found: dict[str, list[list[str]]] = {}
        for row in self.named[name][1:]:
            if len(row) == 1:
                found[row[0]] = rows = []
            else:
                rows.append(row)
        return found

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.tables[-1][-1][-1] += data
        if self._data:
            self.data += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart, all 27 trials and the warm-up."""
    return fake_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def text(run: Path) -> str:
    return write_report(run).read_text()


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """What went wrong in every way, with hostile texts."""
    campaign = quickstart()
    data = make_plan(campaign).model_dump()
    for trial in data["trials"]:
        if trial["cell"] == "hybrid,write_rate=0MiBps":
            trial |= {"rule": "userfaultfd", "reason": EVIL}
    plan = Plan.model_validate(data)
    environment = {**ENVIRONMENT, "evil": EVIL, "list": [{"a": 1}, "b"], "none": None}
    with RunStore.create(tmp_path, campaign, plan, environment) as store:
        good, bad, slow = (
            trial
            for trial in plan.trials
            if trial.supported and not trial.warmup and trial.number < 6
        )
        write(store, fake_trial(campaign, plan, good.number))
        failed = fake_trial(campaign, plan, bad.number).record
        failed.outcome, failed.reason, failed.figures = Outcome.FAILED, EVIL, {}
        store.write_trial(failed)  # no tables at all
        invalid = fake_trial(campaign, plan, slow.number)
        invalid.record.outcome = Outcome.INVALID_LOAD
        write(store, invalid)
    return store.path


def test_of_very_many_trials_some_are_drawn_and_the_intervals_are_of_all(
    run: Path, tmp_path: Path, page: Page, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MOST_POINTS", 10)
    fewer_text = write_report(run, tmp_path / "fewer.html").read_text()
    whole, fewer = (json.loads(p.data)["results"]["metrics"][0] for p in (page, Page(fewer_text)))
    assert len(fewer["points"]) == -(-len(whole["points"]) // 3)
    assert fewer["middles"] == whole["middles"]
    assert "one in 3 is drawn" in fewer_text
    assert "is drawn" not in text


def test_the_page_is_one_file_that_asks_no_host_for_anything(page: Page, text: str) -> None:
    loads = [
        (tag, name)
        for tag, attributes in page.elements
        for name in ("src", "href", "srcset", "action", "data", "poster")
        if name in attributes
    ]
    assert loads == []
    assert not {tag for tag, _ in page.elements} & {"link", "iframe", "object", "embed", "base"}
    policy = next(
        attributes["content"]
        for tag, attributes in page.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert text.count("plotly.js v") == 1
    assert len(text.encode()) < 8_000_000


def test_every_trial_and_cell_is_in_a_table(run: Path, page: Page) -> None:
    frame = load_run(run).frame()
    cells, trials = page.named["Results by cell"], page.named["All trials"]
    assert sum(map(len, page.by_load("Results by cell").values())) == frame["cell"].nunique()
    assert [int(row[0]) for row in trials[1:]] == frame["trial"].tolist()
    assert all(len(row) == len(trials[0]) for row in trials)
    assert cells[0][:4] == ["algorithm", "trials", "Total time s", "Blackout ms"]
    assert list(page.by_load("Results by cell")) == [
        f"write rate {level}" for level in ("0MiB/s", "40MiB/s", "400MiB/s")
    ]
    slow = page.by_load("Results by cell")["write rate 400MiB/s"]
    assert slow[0][:3] == ["precopy", "3 not converged", "> 9.68"]


def test_the_tables_say_what_the_frame_says(run: Path, page: Page) -> None:
    frame = load_run(run).frame()
    blackouts = frame[frame["cell"] == "hybrid,write_rate=400MiBps"]["blackout_ms"]
    row = page.by_load("Results by cell")["write rate 400MiB/s"][2]
    low, middle, high = (short(value) for value in sorted(blackouts))
    assert row[3] == f"{middle} {low}\N{EN DASH}{high}"
    assert row[:2] == ["hybrid", "3 completed"]


def test_what_did_not_complete_is_listed_with_its_reason(odd: Path) -> None:
    told = Page(write_report(odd).read_text()).named["Trials that did not complete"]
    assert {(row[2], row[3]) for row in told[1:]} == {
        ("failed", "\N{EN DASH}"), ("invalid load", "\N{EN DASH}"), ("unsupported", "userfaultfd"),
    }  # fmt: skip
    assert {row[4] for row in told[1:] if row[2] != "invalid load"} == {EVIL}


def test_hostile_texts_stay_texts(odd: Path) -> None:
    page = Page(write_report(odd).read_text())
    assert not [attributes for tag, attributes in page.elements if tag == "img"]
    assert len([tag for tag, _ in page.elements if tag == "script"]) == 3
    hostile = {"a": EVIL, "b": "<!--", "c": "\u2028&"}
    assert json.loads(script_json(hostile)) == hostile
    assert "<" not in script_json(hostile)


def test_the_headline_counts_and_claims_no_more(run: Path, odd: Path) -> None:
    lines = about.headline(load_run(run).frame(), 27)
    assert lines[0] == "27 of 27 planned trials are accounted for: 24 completed, 3 not converged."
    assert lines[1] == "The memory check passed in 24 of 24 completed trials."
    assert lines[2].startswith("precopy, write rate 400MiB/s: 3 of 3 did not converge")
    assert "no interval" in lines[3]
    lines = about.headline(load_run(odd).frame(), 27)
    assert "1 completed, 1 failed, 3 unsupported, 1 invalid load" in lines[0]
    assert any(re.search(r"asked for .* did not get it within 5 %", line) for line in lines)
    assert about.headline(load_run(run).frame().head(0), 27) == [
        "0 of 27 planned trials are accounted for."
    ]


def test_what_a_reader_must_know_is_said(run: Path) -> None:
    trial = load_run(run).trials()[1].record
    assert [line.split()[1] for line in about.caveats([trial])] == ["guests", "and"]
    trial.links["migration"].deviation = -0.389
    trial.clocks.one_clock = False
    trial.qemu = {}
    assert about.caveats([trial]) == [
        "The link was off: before the trials it was measured 39% below the rate asked."
    ]
    assert about.caveats([]) == []


def test_delay_and_loss_are_said_where_they_were_asked(run: Path) -> None:
    found = load_run(run)
    trial = found.trials()[1].record
    assert not {"Delay asked for", "Loss asked for"} & dict(about.about([found], [trial])).keys()
    far = trial.model_copy(deep=True)
    far.links["migration"].delay_s, far.links["migration"].loss = 0.01, 0.001
    said = dict(about.about([found], [trial, far]))
    assert (said["Delay asked for"], said["Loss asked for"]) == ("0s, 10ms", "0%, 0.1%")


def test_a_memory_that_differs_is_told(tmp_path: Path) -> None:
    campaign, plan = quickstart(), make_plan(quickstart())
    trial = fake_trial(campaign, plan, 2)
    trial.record.figures["memory_identical"] = False
    with RunStore.create(tmp_path, campaign, plan, {}) as store:
        write(store, trial)
    assert "passed in 0 of 1" in about.headline(load_run(store.path).frame(), 27)[1]


def test_a_run_without_any_result_has_a_report(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, quickstart(), make_plan(quickstart()), {}) as store:
        pass
    page = Page(write_report(store.path).read_text())
    assert json.loads(page.data)["courses"] == []
    assert json.loads(page.data)["results"]["metrics"] == []


def test_a_trial_of_which_next_to_nothing_is_known_has_a_report(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, quickstart(), make_plan(quickstart()), {}) as store:
        store.write_trial(record(outcome=Outcome.FAILED, spec={}))
    write_report(store.path)


def test_the_pictures_hold_every_point(run: Path, page: Page) -> None:
    results = json.loads(page.data)["results"]
    frame = load_run(run).frame()
    assert results["algorithms"] == ["precopy", "postcopy", "hybrid"]
    assert results["loads"] == [["0MiB/s"], ["40MiB/s"], ["400MiB/s"]]
    by_title = {metric["title"]: metric["points"] for metric in results["metrics"]}
    assert set(by_title) == {metric.title for metric in METRICS}
    assert len(by_title["Total time"]) == 27
    assert sum(point["given_up"] for point in by_title["Total time"]) == 3
    assert len(by_title["Blackout"]) == 24
    completed = frame[frame["outcome"] == "completed"].set_index("trial")["blackout_ms"]
    for point in by_title["Blackout"]:
        assert point["value"] == pytest.approx(completed[point["trial"]], rel=1e-5)


def test_a_time_course_adds_up(run: Path) -> None:
    """The windows' work is the work of the beats; the wire's is the counter's; phases join."""
    number = int(
        load_run(run).frame().query("cell == 'hybrid,write_rate=400MiBps'")["trial"].iloc[0]
    )
    trial = load_run(run).trial(number)
    seen = Seen(trial.record, trial.beats, trial.samples, trial.events)
    course = time_course(seen)
    assert course is not None
    assert course["dt_s"] == 0.02
    assert course["t0_s"] == -0.5
    count = len(course["work"])
    assert count == len(course["remaining"]) == len(course["wire"])
    start = trial.record.times.migrate_start_ns
    assert start is not None
    ends = np.array([start - 500_000_000, start - 500_000_000 + count * 20_000_000])
    pages = np.diff(seen.beats.work_at(ends))[0]
    assert sum(course["work"]) * 0.02 * 256 == pytest.approx(pages, rel=1e-3)
    sent = [value for value in course["wire"] if value is not None]
    rows = seen.sampled("host", "source")["qdisc_sent_bytes"]
    assert sum(sent) * 0.02 / 8 * 1e6 == pytest.approx(rows.max() - rows.min(), rel=0.02)
    assert [phase["name"] for phase in course["phases"]] == ["precopy", "blackout", "postcopy"]
    for one, next_one in zip(course["phases"], course["phases"][1:], strict=False):
        assert one["to_s"] == next_one["from_s"]
    assert [entry["number"] for entry in course["passes"]] == [1]
    narrow = time_course(seen, most=50)
    assert narrow is not None
    assert len(narrow["work"]) <= 50


def test_an_idle_guests_course_shows_its_beats(run: Path) -> None:
    number = int(
        load_run(run).frame().query("cell == 'postcopy,write_rate=0MiBps'")["trial"].iloc[0]
    )
    trial = load_run(run).trial(number)
    course = time_course(Seen(trial.record, trial.beats, trial.samples, trial.events))
    assert course is not None
    assert course["work_is_beats"]
    assert course["work"][0] == 2000
    assert min(course["work"]) == 0


def test_the_report_is_written_where_asked(run: Path, tmp_path: Path) -> None:
    assert write_report(run, tmp_path / "new" / "page.html") == tmp_path / "new" / "page.html"
    (tmp_path / "file").write_text("")
    with pytest.raises(LabctlError, match="cannot be written"):
        write_report(run, tmp_path / "file" / "page.html")


def test_a_summary_counts_what_it_does_not_average(run: Path) -> None:
    frame = run_frame(run)
    cells = summary(frame).set_index("cell")
    assert cells.index.tolist() == frame["cell"].cat.categories.tolist()
    lost = cells.loc["precopy,write_rate=400MiBps"]
    assert (lost["trials"], lost["completed"], lost["not_converged"]) == (3, 0, 3)
    assert np.isnan(lost["total_time_ms"])
    assert lost["total_time_ms_n"] == 0
    given_up = frame[frame["cell"] == "precopy,write_rate=400MiBps"]["wall_time_ms"]
    assert lost["outlasted_ms"] == given_up.min()
    good = cells.loc["hybrid,write_rate=40MiBps"]
    values = frame[frame["cell"] == "hybrid,write_rate=40MiBps"]["blackout_ms"]
    assert (good["blackout_ms_min"], good["blackout_ms"], good["blackout_ms_max"]) == tuple(
        sorted(values)
    )
    assert factors_of(frame) == ["write_rate"]
    assert summary(frame.head(0)).empty


@pytest.mark.parametrize("width", [80, 100])
def test_the_terminals_table_fits(run: Path, width: int) -> None:
    frame = load_run(run).frame()
    console = Console(width=width, file=StringIO())
    with console.capture() as captured:
        console.print(results_table(frame, width=width))
    said = captured.get()
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= width
    assert said.count("3 of 3") == 8
    assert "> 9.68" in said
    assert ("stall" in said) == (width == 100)
    assert (
        "too few a cell for an\ninterval" in said.replace("  \n", "\n").replace(" \n", "\n")
        or width == 100
    )


def test_the_terminals_plot_fits_and_is_plain_unless_asked(run: Path) -> None:
    frame = load_run(run).frame()
    said = terminal_plot(frame, width=80)
    assert "\x1b" not in said
    assert max(map(len, said.splitlines())) <= 80
    assert said.count("Blackout, ms") == said.count("Total time, s") == 1
    assert "precopy,write_rate=400MiBps" in said
    assert ">" in said
    assert "\x1b" in terminal_plot(frame, colour=True)
    assert terminal_plot(frame) == terminal_plot(frame)
    assert terminal_plot(frame.head(0)) == ""
    assert "●" in terminal_plot(frame.head(1))


def test_the_terminals_plot_says_what_carried_and_leaves_out_what_was_not_tried(run: Path) -> None:
    frame = load_run(run).frame().astype({"cell": str, "transport": str, "outcome": str})
    tried, not_tried, *_ = sorted(set(frame["cell"]))
    frame.loc[frame["cell"] == tried, ["cell", "transport"]] = [
        "x,transport=rdma",
        "rdma (soft-RoCE)",
    ]
    frame.loc[frame["cell"] == not_tried, ["cell", "outcome"]] = ["y", "unsupported"]
    labels = [line.partition("┤")[0].strip() for line in terminal_plot(frame).splitlines()]
    assert "x,transport=rdma (soft-RoCE)" in labels
    assert "y" not in labels


def test_a_terminal_shows_what_went_wrong(odd: Path) -> None:
    frame = load_run(odd).frame()
    console = Console(width=100, file=StringIO())
    with console.capture() as captured:
        console.print(results_table(frame))
    for outcome in ("1 failed", "1 invalid load", "3 unsupported"):
        assert outcome in captured.get()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"), (0.999_96, "1.00"), (0.0123456, "0.0123"), (9.999, "10.0"), (12.34, "12.3"),
        (123.4, "123"), (12345.6, "12346"), (-1.234, "-1.23"), (1e-9, "0"), (0.00012345, "0.000123"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits_that_matter(value: float, said: str) -> None:
    assert short(value) == said


def test_the_page_begins_with_the_answer_and_scores_come_before_ranks(
    text: str, page: Page
) -> None:
    order = [
        text.index(f'id="{name}"')
        for name in ("answer", "scorecard", "ranking", "cells", "trials", "how")
    ]
    assert order == sorted(order)
    named = {"Continuous service", "Resource usage", "Robustness", "Predictability", "Transparency"}
    assert named <= page.named.keys()
    assert all([*map(len, page.by_load(name).values())] == [3, 3, 3] for name in named)
    assert page.named["Map of continuous service"][0] == [
        "bandwidth",
        "0MiB/s",
        "40MiB/s",
        "400MiB/s",
    ]
    assert "labctl run" in text


def test_several_runs_make_one_report(tmp_path: Path) -> None:
    runs = [fake_run(tmp_path / name, quickstart(repetitions=1)) for name in ("a", "b")]
    twin = runs[1].rename(runs[1].with_name("quickstart-20260102T000000Z"))
    path = write_report([runs[0], twin])
    assert path == runs[0].parent / "report.html"
    page = Page(path.read_text())
    loads = list(page.by_load("Results by cell"))
    assert [load.split(", ")[0] for load in loads] == 3 * [f"run {runs[0].name}"] + 3 * [
        f"run {twin.name}"
    ]
    assert {str(course["trial"]).split("/")[0] for course in json.loads(page.data)["courses"]} <= {
        runs[0].name,
        twin.name,
    }
    assert (
        len({point["trial"] for point in json.loads(page.data)["results"]["metrics"][0]["points"]})
        == 18
    )


def test_with_six_repetitions_intervals_stand_in_tables_and_pictures(tmp_path: Path) -> None:
    run = fake_run(tmp_path, quickstart(repetitions=6))
    page = Page(write_report(run).read_text())
    row = page.by_load("Results by cell")["write rate 400MiB/s"][2]
    assert re.fullmatch(r"[\d.]+ \[[\d.]+, [\d.]+\]", row[3])
    middles = json.loads(page.data)["results"]["metrics"][1]["middles"]
    assert all(cell["interval"][0] <= cell["median"] <= cell["interval"][1] for cell in middles)


def test_figures_for_a_paper_are_the_same_bytes_each_time(run: Path, tmp_path: Path) -> None:
    first, second = (write_figures(load_run(run), tmp_path / name) for name in ("a", "b"))
    assert {path.suffix for path in first} == {".pdf", ".svg"}
    assert len(first) == 2 * (len(METRICS) + 1)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    svg = next(path for path in first if path.name == "blackout.svg").read_text()
    assert "Blackout, ms" in svg
    assert "400MiB/s" in svg


def test_a_time_course_that_is_not_there_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(LabctlError, match="has no result"):
        write_figures(load_run(run), tmp_path, trial=999)


PHONE = """<iframe width="390" height="3000" src="{uri}"></iframe>
<script>
const frame = document.querySelector("iframe");
frame.onload = () => setTimeout(() => {{
  const page = frame.contentDocument, pictures = [...page.querySelectorAll(".js-plotly-plot")];
  const widths = () => pictures.map(each => each.querySelector("svg").getBoundingClientRect().width);
  const found = {{ page: page.documentElement.scrollWidth, room: pictures.map(each => each.clientWidth), screen: widths() }};
  frame.contentWindow.dispatchEvent(new Event("beforeprint"));
  document.body.textContent = JSON.stringify({{ ...found, paper: widths() }});
}}, 3000);
</script>
"""
"""A page that opens another as wide as a phone, and tells of it: what does not fit is not seen without scrolling."""


def opened(path: Path, profile: Path, *flags: str) -> str:
    """What a browser makes of a page, which it opens without a word of complaint."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={profile}", "--virtual-time-budget=10000",
            "--enable-logging=stderr", *flags, "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    return done.stdout


@pytest.mark.parametrize("which", ["run", "odd"])
def test_a_browser_draws_it(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    path = write_report(request.getfixturevalue(which))
    expected = json.loads(Page(path.read_text()).data)
    drawn = drawings(opened(path, tmp_path / "profile"))
    assert drawn == len(expected["results"]["metrics"]) + bool(expected["courses"])


def test_pictures_fit_a_phone_and_paper(run: Path, tmp_path: Path) -> None:
    phone = tmp_path / "phone.html"
    phone.write_text(PHONE.format(uri=write_report(run).as_uri()))
    dom = opened(phone, tmp_path / "profile", "--allow-file-access-from-files", "--hide-scrollbars")
    found = json.loads(re.sub("<[^>]*>", "", dom))
    assert found["page"] == 390
    assert found["screen"] == found["room"]
    assert len(found["screen"]) == len(METRICS) + 1
    assert set(found["paper"]) == {640}


def drawings(dom: str) -> int:
    """How many elements hold a picture that Plotly drew."""
    page: Any = Page(dom)
    return sum(
        "js-plotly-plot" in (attributes.get("class") or "") for _, attributes in page.elements
    )
