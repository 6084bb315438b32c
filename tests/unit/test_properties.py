"""The five properties, rankings and what turns them: campaigns that were drawn, so that the truth is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.simulated import campaign, noisy
from labctl.analysis.frame import factors_of, together
from labctl.analysis.loads import over_loads
from labctl.analysis.metrics import BY_COLUMN, NEEDED, with_derived
from labctl.analysis.properties import PROPERTIES, scorecard
from labctl.analysis.ranking import rankings, turns
from labctl.analysis.statistics import Floats
from labctl.report.answer import answer
from labctl.results import load_run
from tests.synthetic import fake_run, quickstart

SERVICE, RESOURCES, ROBUSTNESS, PREDICTABILITY, TRANSPARENCY = PROPERTIES
NONE = np.full(8, np.nan)


def drawn(seed: int, middle: float, noise: float = 0.03, n: int = 8) -> Floats:
    return noisy(np.random.default_rng(seed), middle, noise, n)


def under(loads: dict[str, dict[str, Floats]]) -> pd.DataFrame:
    """Runs as loads: the factor `run` tells them apart."""
    return with_derived(together({load: campaign(cells) for load, cells in loads.items()}))


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The quickstart with six repetitions, invented."""
    run = fake_run(tmp_path_factory.mktemp("runs"), quickstart(repetitions=6))
    return with_derived(load_run(run).frame())


def test_each_cell_has_a_card_with_every_property(six: pd.DataFrame) -> None:
    cards = list(scorecard(six, factors_of(six)))
    assert len(cards) == 9
    for card in cards:
        assert list(card.scores) == [prop.key for prop in PROPERTIES]
        for prop in PROPERTIES:
            assert card.scores[prop.key][0].name == prop.ranked_by, "what ranks comes first"


def test_a_score_is_the_median_of_the_completed_trials(six: pd.DataFrame) -> None:
    card = next(
        c for c in scorecard(six, factors_of(six)) if c.load == (("write_rate", "40MiB/s"),)
    )
    rows = six[(six["cell"] == "precopy,write_rate=40MiBps") & (six["outcome"] == "completed")]
    blackout = card.score("blackout_ms")
    assert blackout is not None
    assert blackout.value == pytest.approx(rows["blackout_ms"].median())
    assert blackout.n == len(rows) == 6
    assert blackout.interval is not None
    assert blackout.interval.low <= blackout.value <= blackout.interval.high


def test_what_did_not_converge_counts_in_completion_and_nowhere_else(six: pd.DataFrame) -> None:
    card = next(
        c for c in scorecard(six, factors_of(six))
        if (c.algorithm, c.load) == ("precopy", (("write_rate", "400MiB/s"),))
    )  # fmt: skip
    completion, total = card.score("completion"), card.score("total_time_ms")
    assert completion is not None
    assert (completion.value, completion.n) == (0, 6)
    assert completion.interval is not None
    assert completion.interval.high == pytest.approx(39, abs=0.1)
    assert total is not None
    assert (total.n, total.interval) == (0, None)


def test_the_best_leads_and_so_does_who_is_not_shown_to_be_worse() -> None:
    frame = under(
        {"a": {"precopy": drawn(1, 100), "hybrid": drawn(2, 100), "postcopy": drawn(3, 200)}}
    )
    (ranking,) = rankings(frame, factors_of(frame)).of(SERVICE)
    assert set(ranking.leaders) == {"precopy", "hybrid"}
    assert ranking.places[-1].who == "postcopy"
    assert ranking.sure


def test_who_does_not_complete_cannot_lead_however_quick_it_was_before() -> None:
    flaky = drawn(1, 10)
    flaky[2:] = np.nan
    frame = under({"a": {"precopy": flaky, "postcopy": drawn(3, 200)}})
    (ranking,) = rankings(frame, factors_of(frame)).of(SERVICE)
    assert ranking.leaders == ("postcopy",)
    assert ranking.places[-1].completed == 2


def test_with_too_few_repetitions_a_ranking_says_that_it_is_not_sure() -> None:
    frame = under({"a": {"precopy": drawn(1, 100, n=3), "postcopy": drawn(3, 200, n=3)}})
    (ranking,) = rankings(frame, factors_of(frame)).of(SERVICE)
    assert ranking.leaders == ("precopy",)
    assert not ranking.sure
    said = answer(rankings(frame, factors_of(frame)), list(scorecard(frame, factors_of(frame))))
    assert said is not None
    assert "too few" in said.lead


def test_a_ranking_turns_where_the_leader_changes() -> None:
    frame = under(
        {
            "slow": {"precopy": drawn(1, 50), "postcopy": drawn(2, 200)},
            "brisk": {"precopy": drawn(3, 60), "postcopy": drawn(4, 210)},
            "fast": {"precopy": NONE, "postcopy": drawn(5, 200)},
        }
    )
    turn = next(turn for turn in turns(rankings(frame, factors_of(frame))) if turn.prop == SERVICE)
    assert turn.parts == ((("precopy",), "run slow and brisk"), (("postcopy",), "run fast"))


def test_where_nobody_is_beaten_anywhere_the_answer_says_so() -> None:
    frame = under(
        {
            "a": {"precopy": drawn(1, 50), "postcopy": drawn(2, 200)},
            "b": {"precopy": drawn(3, 50), "postcopy": drawn(4, 200)},
        }
    )
    frame["exposure_s"] = frame["model_error"] = frame["vcpu_stolen_s"] = frame["blackout_ms"]
    found = rankings(frame, factors_of(frame))
    assert all(turn.parts == ((("precopy",), ""),) for turn in turns(found))
    said = answer(found, list(scorecard(frame, factors_of(frame))))
    assert said is not None
    assert said.lead.startswith("precopy leads")


def test_the_answer_tells_numbers_with_intervals_for_each_load(six: pd.DataFrame) -> None:
    said = answer(rankings(six, factors_of(six)), list(scorecard(six, factors_of(six))))
    assert said is not None
    assert said.lead == "No algorithm is best by every property under every load."
    idle, _, fast = said.points
    assert idle.startswith("At write rate 0MiB/s: the guest is disturbed least by precopy (")
    assert "precopy completed 0 of 6 (95 % interval 0 to 39 %)" in fast
    assert "which needs both hosts for a time (hybrid for" in fast
    assert fast.count("[") >= 4


def test_a_run_in_which_nothing_completed_has_no_answer() -> None:
    frame = under({"a": {"precopy": NONE}})
    assert answer(rankings(frame, factors_of(frame)), []) is None


def test_total_time_over_loads_is_the_longest_by_the_shortest() -> None:
    frame = under({
        "a": {"precopy": drawn(1, 100, 0.01), "postcopy": drawn(2, 200, 0.01)},
        "b": {"precopy": drawn(3, 300, 0.01), "postcopy": drawn(4, 200, 0.01)},
        "c": {"precopy": NONE, "postcopy": drawn(5, 200, 0.01)},
    })  # fmt: skip
    precopy, postcopy = over_loads(frame, factors_of(frame))
    assert (precopy.who, precopy.shortest, precopy.longest, precopy.never) == (
        "precopy",
        "run a",
        "run b",
        ("run c",),
    )
    assert precopy.effect.ratio == pytest.approx(3, rel=0.05)
    assert postcopy.effect.ratio < 1.05
    assert postcopy.never == ()


def test_a_metric_reads_no_column_that_is_not_asked_for(tmp_path: Path) -> None:
    """Of a large run only NEEDED is read: all metrics are to be had from it."""
    run = fake_run(tmp_path, quickstart(repetitions=1))
    some = with_derived(load_run(run).frame(columns=NEEDED))
    whole = with_derived(load_run(run).frame())
    for column in BY_COLUMN:
        pd.testing.assert_series_equal(some[column], whole[column])
