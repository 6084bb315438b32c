"""Comparisons of runs and of levels, and the gate on them: campaigns that were drawn, so that the truth is known."""

import math

import numpy as np
import pytest

from benchmarks.simulated import campaign, noisy
from labctl.analysis.compare import COMPARED, compare_levels, compare_runs
from labctl.analysis.gate import Condition, failures
from labctl.analysis.metrics import BY_COLUMN, metric_named
from labctl.errors import InputError

BLACKOUT = BY_COLUMN["blackout_ms"]
NONE = np.full(8, np.nan)


def drawn(
    seed: int, middle: float, noise: float = 0.03, n: int = 12
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return noisy(np.random.default_rng(seed), middle, noise, n)


def test_the_effect_is_the_middle_of_all_ratios_with_an_interval_around_it() -> None:
    a, b = drawn(1, 100), drawn(2, 130)
    found = compare_runs(campaign({"precopy": a}), campaign({"precopy": b}), [BLACKOUT])
    [effect] = found.effects
    assert (effect.a, effect.b) == (np.median(a), np.median(b))
    assert effect.ratio == pytest.approx(np.exp(np.median(np.log(b)[:, None] - np.log(a)[None, :])))
    assert effect.interval is not None
    assert effect.interval.low < effect.ratio < effect.interval.high
    assert effect.interval.high / effect.interval.low < 1.2
    assert (effect.where, effect.verdict, effect.n) == ("precopy", "worse", 12)


def test_the_same_twice_shows_no_difference() -> None:
    frame = campaign({"precopy": drawn(1, 100), "postcopy": drawn(2, 50)})
    found = compare_runs(frame, frame)
    assert {effect.verdict for effect in found.effects} == {"no difference shown"}
    assert {effect.ratio for effect in found.effects} == {1.0}
    assert len(found.effects) == 2 * len(COMPARED)


def test_what_is_better_is_told_from_what_is_worse() -> None:
    slow, quick = campaign({"precopy": drawn(1, 200)}), campaign({"precopy": drawn(2, 100)})
    better = compare_runs(slow, quick, [BLACKOUT]).effects[0]
    assert better.verdict == "better"
    assert better.worsening == pytest.approx(better.ratio - 1)


def test_below_six_there_are_values_and_no_verdict() -> None:
    few = campaign({"precopy": drawn(1, 100, n=5)})
    [effect] = compare_runs(few, campaign({"precopy": drawn(2, 900)}), [BLACKOUT]).effects
    assert (effect.verdict, effect.interval, effect.n) == ("too few", None, 5)


def test_what_blocks_do_to_both_does_not_widen_a_comparison_within_a_run() -> None:
    """A disturbance that all cells of a block share: drawn apart it would hide a difference of 10 %."""
    block = np.exp(np.random.default_rng(5).normal(0, 0.3, 15))
    frame = campaign(
        {"precopy": drawn(1, 100, 0.01, 15) * block, "hybrid": drawn(2, 110, 0.01, 15) * block}
    )
    within = compare_levels(frame, "algorithm", ("precopy", "hybrid"), [BLACKOUT]).effects[0]
    apart = compare_runs(
        campaign({"a": drawn(1, 100, 0.01, 15) * block}),
        campaign({"a": drawn(2, 110, 0.01, 15) * block}),
        [BLACKOUT],
    ).effects[0]
    assert (within.verdict, apart.verdict) == ("worse", "no difference shown")


def test_a_difference_inside_the_noise_floor_is_none() -> None:
    """The cell's twin differs from it by 15 %, so 10 % between two levels say nothing."""
    cells = {"precopy": drawn(1, 100, 0.01), "hybrid": drawn(2, 110, 0.01)}
    alone = compare_levels(campaign(cells), "algorithm", ("precopy", "hybrid"), [BLACKOUT])
    frame = campaign(cells, {"precopy": drawn(3, 115, 0.01)})
    with_noise = compare_levels(frame, "algorithm", ("precopy", "hybrid"), [BLACKOUT])
    assert alone.effects[0].verdict == "worse"
    assert (with_noise.effects[0].verdict, with_noise.effects[0].within_noise) == (
        "no difference shown",
        True,
    )
    assert 1.13 < with_noise.floors["blackout_ms"] < 1.2
    assert [effect.where for effect in with_noise.effects] == ["all"], "a twin is no cell"


def test_cells_put_together_are_sums_and_not_averaged_ratios() -> None:
    a = campaign({"precopy": drawn(1, 100, 0.01), "hybrid": drawn(2, 1000, 0.01)})
    b = campaign({"precopy": drawn(3, 200, 0.01), "hybrid": drawn(4, 1000, 0.01)})
    [effect] = compare_runs(a, b, [BLACKOUT], by=["transport"]).effects
    assert effect.where == "tcp"
    assert effect.ratio == pytest.approx(1200 / 1100, rel=0.01)


def test_ratios_are_not_put_together() -> None:
    frame = campaign({"precopy": drawn(1, 100), "hybrid": drawn(2, 100)})
    with pytest.raises(InputError, match="is a ratio"):
        compare_runs(frame, frame, [metric_named("model_error")], by=["transport"])
    together = compare_runs(frame, frame, by=["transport"]).effects
    assert "wire_bytes" in {effect.metric.column for effect in together}


def test_rates_are_averaged_harmonically() -> None:
    frame = campaign({"precopy": drawn(1, 100), "hybrid": drawn(2, 300)}).assign(ram_bytes=2**30)
    [effect] = compare_runs(frame, frame, [metric_named("transfer")], by=["transport"]).effects
    each = [
        compare_runs(one, one, [metric_named("transfer")]).effects[0].a
        for one in (frame[frame["algorithm"] == name] for name in ("precopy", "hybrid"))
    ]
    assert effect.a == pytest.approx(2 / (1 / each[0] + 1 / each[1]))


def test_a_cell_that_no_longer_completes_is_told_by_its_completion() -> None:
    found = compare_runs(
        campaign({"precopy": drawn(1, 100, n=8)}), campaign({"precopy": NONE}), [BLACKOUT]
    )
    assert found.effects == ()
    [completion] = found.completions
    assert (completion.a, completion.b, completion.verdict) == ((8, 8), (0, 8), "worse")


def test_cells_that_only_one_side_has_are_told() -> None:
    a = campaign({"precopy": drawn(1, 100), "hybrid": drawn(2, 100)})
    b = campaign({"precopy": drawn(3, 100), "postcopy": drawn(4, 100)})
    found = compare_runs(a, b, [BLACKOUT])
    assert (found.only_a, found.only_b) == (("hybrid",), ("postcopy",))
    with pytest.raises(InputError, match="no cell in common"):
        compare_runs(campaign({"precopy": NONE}), campaign({"hybrid": NONE}))


@pytest.mark.parametrize(
    ("factor", "levels", "says"),
    [("colour", ("a", "b"), "is not a factor"), ("algorithm", ("precopy", "b"), "has no level")],
)
def test_a_level_that_is_not_there(factor: str, levels: tuple[str, str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        compare_levels(campaign({"precopy": drawn(1, 100)}), factor, levels)


def test_from_nothing_to_something_is_worse_without_a_ratio() -> None:
    frame = campaign({"precopy": drawn(1, 100), "hybrid": drawn(2, 100)})
    zero = frame.assign(
        blackout_ms=frame["blackout_ms"].where(frame["algorithm"] != "precopy", 0.0)
    )
    [effect] = compare_levels(zero, "algorithm", ("precopy", "hybrid"), [BLACKOUT]).effects
    assert (effect.ratio, effect.verdict) == (math.inf, "worse")


class TestGate:
    def judged(self, condition: str, a: float, b: float, noise: float = 0.02) -> list[str]:
        runs = [
            campaign({"precopy": drawn(seed, middle, noise)}) for seed, middle in ((1, a), (2, b))
        ]
        return failures(Condition.parse(condition), compare_runs(runs[0], runs[1], [BLACKOUT]))

    def test_it_holds_where_the_figure_is_shown_to_be_worse_by_more(self) -> None:
        assert self.judged("blackout worsens by > 10%", 100, 130) != []
        assert self.judged("blackout worsens by > 10%", 100, 104) == []
        assert self.judged("blackout worsens", 100, 112) != []
        assert self.judged("blackout worsens by > 10%", 130, 100) == []

    def test_what_is_not_shown_does_not_count_however_large(self) -> None:
        assert self.judged("blackout worsens by > 5%", 100, 112, noise=0.5) == []

    def test_a_machine_that_no_longer_arrives_is_worse_by_any_figure(self) -> None:
        found = compare_runs(
            campaign({"precopy": drawn(1, 100, n=8)}), campaign({"precopy": NONE}), [BLACKOUT]
        )
        for condition in ("blackout worsens by > 10%", "completion worsens by > 10%"):
            assert failures(Condition.parse(condition), found) == [
                "precopy: 8 of 8 completed, and now 0 of 8"
            ]

    def test_what_can_be_judged_nowhere_does_not_pass(self) -> None:
        few = campaign({"precopy": drawn(1, 100, n=3)})
        with pytest.raises(InputError, match="can be judged nowhere"):
            failures(Condition.parse("blackout worsens"), compare_runs(few, few, [BLACKOUT]))

    @pytest.mark.parametrize(
        "text", ["", "blackout", "blackout gets worse", "blackout worsens by 10", "x worsens"]
    )
    def test_what_is_no_condition_says_how_one_is_written(self, text: str) -> None:
        with pytest.raises(InputError) as caught:
            Condition.parse(text)
        assert caught.value.mend
