"""Which cells are known well enough: on results that are invented, so that it is known which ones are."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.analysis.adaptive import (
    Saving,
    Standing,
    State,
    described,
    need_more,
    relative_width,
    saving,
    standings,
)
from labctl.analysis.frame import summary
from labctl.analysis.metrics import BY_COLUMN, metric_named
from labctl.analysis.statistics import ENOUGH_FOR_MEDIAN, median_interval
from labctl.campaign import RepetitionsSpec, make_plan
from labctl.campaign.repetitions import ENOUGH, METRICS
from labctl.lab.fake import CAPABILITIES
from labctl.results import load_run
from tests import synthetic

RULE = RepetitionsSpec.model_validate({"until": {"relative_interval": "5%"}})
QUIET, NOISY = "precopy,write_rate=0MiBps", "postcopy,write_rate=0MiBps"


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Six blocks of two cells, and one that never converges."""
    asked = synthetic.quickstart(
        matrix={"algorithm": ["precopy", "postcopy", "hybrid"], "write_rate": ["0MiB/s"]},
        repetitions=6,
    )
    out = tmp_path_factory.mktemp("runs")
    return load_run(synthetic.fake_run(out, asked)).frame()


def with_times(frame: pd.DataFrame, cell: str, times: list[float | None]) -> pd.DataFrame:
    """The frame where the trials of a cell took so long; None did not converge."""
    frame = frame.copy()
    at = frame.index[frame["cell"] == cell]
    frame.loc[at, "total_time_ms"] = pd.array(times, "Float64").to_numpy("float64", na_value=np.nan)
    lost = [place for place, time in zip(at, times, strict=True) if time is None]
    frame.loc[lost, "outcome"] = "not_converged"
    return frame


def test_the_names_that_a_campaign_may_give_are_those_of_the_metrics() -> None:
    assert tuple(metric.short for metric in BY_COLUMN.values()) == METRICS
    assert all(metric_named(name).short == name for name in METRICS)
    assert ENOUGH == ENOUGH_FOR_MEDIAN


def test_a_noisy_cell_needs_more_and_a_quiet_one_does_not(frame: pd.DataFrame) -> None:
    frame = with_times(frame, QUIET, [1000, 1001, 1002, 1003, 1004, 1005])
    frame = with_times(frame, NOISY, [1000, 1100, 1200, 1300, 1400, 1500])
    assert NOISY in need_more(frame, RULE)
    assert QUIET not in need_more(frame, RULE)
    narrow = RepetitionsSpec.model_validate({"until": {"relative_interval": "0.1%"}})
    assert QUIET in need_more(frame, narrow)


@pytest.mark.parametrize(
    ("times", "state"),
    [
        ([None] * 6, "censored"),
        ([1000, *[None] * 5], "open"),
        ([1000, 1000, 1000, 1000, 1000, None], "open"),
        ([1000] * 6, "settled"),
    ],
)
def test_what_did_not_converge_is_no_value(
    frame: pd.DataFrame, times: list[float | None], state: str
) -> None:
    frame = with_times(frame, QUIET, times)
    (standing,) = [each for each in standings(frame, RULE) if each.cell == QUIET]
    assert standing.state == state
    assert standing.completed == sum(time is not None for time in times)


def test_each_metric_counts_and_one_that_a_cell_has_not_holds_nothing_up(
    frame: pd.DataFrame,
) -> None:
    frame = with_times(frame, QUIET, [1000.0] * 6)
    mine = frame["cell"] == QUIET
    frame.loc[mine, "blackout_ms"] = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    frame.loc[mine, "exposure_s"] = 0.0
    frame.loc[mine, "memory_extra_peak_bytes"] = np.nan

    def state(*of: str) -> str:
        rule = RepetitionsSpec.model_validate({"until": {"relative_interval": "5%", "of": of}})
        return next(each.state for each in standings(frame, rule) if each.cell == QUIET)

    assert state("total_time") == "settled"
    assert state("total_time", "blackout") == "open"
    assert state("total_time", "memory_extra_peak") == "settled"
    assert state("exposure") == "settled", "it is 0 each time"


@given(st.lists(st.floats(1, 1e6), max_size=30))
def test_a_relative_width_is_none_or_a_share(values: list[float]) -> None:
    width = relative_width(values)
    assert (width is None) == (len(values) < ENOUGH)
    assert width is None or width >= 0
    if width is not None:
        assert relative_width([value * 1024 for value in values]) == pytest.approx(width)


def test_a_median_of_zero_is_never_known_to_a_share_of_it() -> None:
    assert relative_width([-1.0, -1.0, 0.0, 0.0, 1.0, 1.0]) == math.inf
    assert relative_width([0.0] * 6) == 0.0


@pytest.mark.parametrize(("least", "covered"), [(6, 0.916), (20, 0.946)])
def test_to_stop_at_a_short_interval_costs_what_the_docs_say(least: int, covered: float) -> None:
    """Lognormal values that spread by 10 %, known to 5 %: the docs' figures, rounded there."""
    dice, most, hits, campaigns = np.random.default_rng(1), 60, 0, 1500
    for _ in range(campaigns):
        values = np.exp(0.1 * dice.standard_normal(most))
        n = least
        while n < most and (relative_width(values[:n]) or 1) > RULE.until.relative_interval:
            n += 1
        interval = median_interval(values[:n])
        assert interval is not None
        hits += interval.holds(1.0)
    assert hits / campaigns == pytest.approx(covered, abs=0.01)


def test_what_was_saved_is_said(tmp_path: Path) -> None:
    until = {"until": {"relative_interval": "5%"}, "max": 20}
    matrix = {"algorithm": ["precopy", "postcopy", "hybrid"], "write_rate": ["0MiB/s"]}
    asked = synthetic.quickstart(matrix=matrix, repetitions=until)
    run = load_run(synthetic.fake_run(tmp_path, asked))
    frame = with_times(run.frame(), QUIET, [1000.0] * 6)
    frame = with_times(frame, NOISY, [1000, 1100, 1200, 1300, 1400, 1500])
    frame = with_times(frame, "hybrid,write_rate=0MiBps", [None] * 6)
    saved = saving(run.campaign, run.plan, frame)
    assert saved is not None
    assert described(saved) == (
        "adaptive: 18 trials instead of 60, 1 of 3 cells settled at 5 %; not settled: "
        f"{NOISY} (total time within 17 %), hybrid,write_rate=0MiBps (none completed)"
    )
    early = saving(run.campaign, run.plan, frame[frame["cell"] == QUIET])
    assert early is not None
    assert described(early).endswith(
        f"{NOISY} (not run yet), hybrid,write_rate=0MiBps (not run yet)"
    )
    assert saving(synthetic.quickstart(), run.plan, frame) is None
    assert saving(asked, make_plan(asked, quick=True), frame) is None


def test_why_a_cell_is_not_settled_is_said() -> None:
    def said(completed: int, trials: int, **widths: float | None) -> str:
        state: State = "open" if completed else "censored"
        standing = Standing("precopy", trials, completed, widths, state)
        return described(Saving(RULE, trials, 60, (standing,))).partition("; not settled: ")[2]

    assert said(0, 6) == "precopy (none completed)"
    assert said(0, 0) == "precopy (not run yet)"
    assert said(3, 9, total_time=None) == "precopy (3 of 9 completed)"
    assert said(9, 9, total_time=0.061, blackout=0.2) == "precopy (blackout within 20 %)"
    assert said(9, 9, total_time=12.5) == "precopy (total time within 1250 %)"
    assert said(9, 9, total_time=0.0512) == "precopy (total time within 5.1 %)"
    assert said(9, 9, work_lost=None, blackout=0.2) == "precopy (too few values of work lost)"
    assert said(9, 9, exposure=math.inf) == "precopy (the median of exposure is 0, and not all are)"
    many = tuple(Standing(f"c{n}", 6, 0, {}, "censored") for n in range(9))
    assert described(Saving(RULE, 54, 540, many)).endswith("c3 (none completed), and 5 more")


def test_a_twin_goes_on_with_its_cell_and_has_no_row_of_its_own(tmp_path: Path) -> None:
    asked = synthetic.quickstart(
        matrix={"algorithm": ["precopy", "postcopy"], "write_rate": ["0MiB/s"]},
        repetitions={"until": {"relative_interval": "50%"}},
        noise={"aa": True},
    )
    run = load_run(synthetic.fake_run(tmp_path, asked))
    frame = run.frame()
    assert set(frame["twin_of"].dropna()) == {QUIET}
    assert list(summary(frame)["cell"]) == [QUIET, NOISY]
    assert [each.cell for each in standings(frame, RULE)] == [QUIET, NOISY]
    saved = saving(run.campaign, run.plan, frame)
    assert saved is not None
    assert (saved.trials, saved.instead_of) == (18, 180)


def test_a_twin_that_is_refused_with_its_cell_has_no_row_either(tmp_path: Path) -> None:
    asked = synthetic.quickstart(
        matrix={"algorithm": ["postcopy"], "write_rate": ["0MiB/s"]},
        noise={"aa": True},
        repetitions={"until": {"relative_interval": "5%"}},
    )
    unable = CAPABILITIES.model_copy(update={"userfaultfd": False})
    plan = make_plan(asked, {"a-b": (unable, unable)})
    run = load_run(synthetic.fake_run(tmp_path, asked, plan=plan))
    frame = run.frame()
    assert Counter(frame["outcome"]) == {"unsupported": 12}
    assert list(summary(frame)["cell"]) == [NOISY]
    assert need_more(frame, RULE) == []
    assert saving(run.campaign, run.plan, frame) is None
