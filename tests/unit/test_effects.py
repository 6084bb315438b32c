"""Which factor matters: against Jain's worked example, and against statsmodels."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from benchmarks.simulated import campaign, noisy
from labctl.analysis.effects import _explained, effects
from labctl.analysis.metrics import BY_COLUMN
from labctl.errors import InputError


def test_jains_memory_and_cache() -> None:
    """Jain (1991), example 17.1: 15, 45, 25, 75 MIPS; memory explains 76 %, the cache 19 %, both together 5 %."""
    table = pd.DataFrame(
        [("4", "1", 15), ("16", "1", 45), ("4", "2", 25), ("16", "2", 75)],
        columns=["f0", "f1", "y"],
    ).assign(block="1")
    shares = {each.name: each.share for each in _explained(table, ["memory", "cache"])}
    assert shares["memory"] == pytest.approx(1600 / 2100)
    assert shares["cache"] == pytest.approx(400 / 2100)
    assert shares["memory x cache"] == pytest.approx(100 / 2100)
    assert shares["rest"] == pytest.approx(0)


@pytest.mark.parametrize("gaps", [False, True])
def test_shares_are_those_of_statsmodels_type_ii(gaps: bool) -> None:
    dice = np.random.default_rng(1)
    table = pd.DataFrame(
        [
            (a, b, c, k, (a == "x") + 0.5 * (b == "1") * (c == "p") + dice.normal(0, 0.1))
            for a in "xyz"
            for b in "12"
            for c in "pq"
            for k in "1234"
            if not gaps or dice.random() > 0.15
        ],
        columns=["f0", "f1", "f2", "block", "y"],
    )
    found = {each.name: each.share for each in _explained(table, ["a", "b", "c"])}
    model = "y ~ C(f0) + C(f1) + C(f2) + C(f0):C(f1) + C(f0):C(f2) + C(f1):C(f2) + C(block)"
    sums = anova_lm(ols(model, table).fit(), typ=2)["sum_sq"]
    whole = ((table["y"] - table["y"].mean()) ** 2).sum()
    names = ("a", "b", "c", "repetition", "a x b", "a x c", "b x c", "rest")
    assert [found[name] for name in names] == pytest.approx(list(sums / whole))
    assert gaps or sum(found.values()) == pytest.approx(1)


def test_a_factors_levels_say_what_they_multiply_by() -> None:
    dice = np.random.default_rng(2)
    frame = campaign(
        {name: noisy(dice, at, 0.02, 8) for name, at in (("precopy", 100), ("hybrid", 400))}
    )
    found = effects(frame, BY_COLUMN["blackout_ms"], ["algorithm", "transport"])
    first = found.explained[0]
    assert first.name == "algorithm"
    assert first.share > 0.98
    assert [level for level, _ in first.levels] == ["precopy", "hybrid"]
    assert dict(first.levels)["hybrid"] / dict(first.levels)["precopy"] == pytest.approx(
        4, rel=0.05
    )


def test_cells_that_never_completed_are_told() -> None:
    dice = np.random.default_rng(2)
    cells = {"a": noisy(dice, 100, 0.02, 8), "b": noisy(dice, 90, 0.02, 8), "c": np.full(8, np.nan)}
    assert effects(campaign(cells), BY_COLUMN["blackout_ms"], ["algorithm"]).left_out == ("c",)


def test_where_nothing_varies_there_is_nothing_to_explain() -> None:
    frame = campaign({"a": noisy(np.random.default_rng(2), 100, 0.02, 8)})
    with pytest.raises(InputError, match="nothing varies"):
        effects(frame, BY_COLUMN["blackout_ms"], ["algorithm"])


def test_many_trials_of_many_levels_take_little_memory() -> None:
    """40,000 trials of 500 cells: a design with a column a combination would hold more than 300 MiB."""
    dice = np.random.default_rng(3)
    cells = [(str(a), str(b)) for a in range(250) for b in range(2)]
    table = pd.DataFrame(
        [(a, b, str(block)) for block in range(80) for a, b in cells],
        columns=["f0", "f1", "block"],
    )
    table["y"] = table["f0"].astype(float) / 250 + dice.normal(0, 0.1, len(table))
    tracemalloc.start()
    try:
        found = {each.name: each.share for each in _explained(table, ["a", "b"])}
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    finally:
        tracemalloc.stop()
    assert sum(found.values()) == pytest.approx(1)
    assert found["a"] == pytest.approx(1 / 12 / (1 / 12 + 0.01), abs=0.01)
