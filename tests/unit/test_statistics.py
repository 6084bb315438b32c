"""The statistics, against scipy, statsmodels and published worked examples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from labctl.analysis import ratios, statistics
from labctl.analysis.statistics import Interval

VALUES = st.lists(st.floats(0.1, 1e6), min_size=6, max_size=80)


def test_a_medians_interval_is_that_of_the_order_statistics_where_these_cover_95_percent() -> None:
    """n = 9: from the 2nd to the 8th covers 96.1 %, from the 3rd to the 7th 82 %; so between these, near the outer ones."""
    values = np.arange(1.0, 10.0)
    found = statistics.median_interval(values)
    outer = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
    assert found is not None
    assert (outer.low, outer.high) == (2.0, 8.0)
    assert 2.0 < found.low < 2.5
    assert 7.5 < found.high < 8.0


def test_the_interpolation_is_that_of_hettmansperger_and_sheather() -> None:
    """Of 6 values: x1 to x6 covers 1 - 2/64, x2 to x5 1 - 14/64; I = 0.1, so lambda = 5 I / (1 + 4 I) = 0.357."""
    found = statistics.median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    part = (1 - 2 / 64 - 0.95) / (12 / 64)
    share = 5 * part / (1 + 4 * part)
    assert found == pytest.approx((1 + share, 6 - share))


@given(VALUES)
def test_it_holds_the_median_and_lies_within_the_values(values: list[float]) -> None:
    found = statistics.median_interval(values)
    assert found is not None
    assert found.holds(statistics.median(values))
    assert min(values) <= found.low <= found.high <= max(values)


@given(VALUES, st.floats(0.5, 0.999))
def test_more_confidence_never_makes_it_narrower(values: list[float], confidence: float) -> None:
    narrow = statistics.median_interval(values, confidence * 0.9)
    wide = statistics.median_interval(values, confidence)
    if wide is not None:
        assert narrow is not None
        assert wide.low <= narrow.low + 1e-9
        assert wide.high >= narrow.high - 1e-9


@pytest.mark.parametrize("n", range(6))
def test_below_six_values_there_is_none(n: int) -> None:
    assert statistics.median_interval([1.0] * n) is None
    assert statistics.spread_interval([1.0 + i for i in range(n)]) is None


@pytest.mark.parametrize(("share", "enough"), [(0.95, 59), (0.99, 299)])
def test_percentiles_are_told_where_n_allows(share: float, enough: int) -> None:
    assert statistics.percentile([1.0] * (enough - 1), share) is None
    values = np.random.default_rng(1).random(enough)
    assert statistics.percentile(values, share) == pytest.approx(np.quantile(values, share))
    assert (enough == statistics.ENOUGH_FOR_P95) == (share == 0.95)


@pytest.mark.parametrize(("k", "n"), [(0, 6), (6, 6), (3, 10), (1, 59), (58, 60), (0, 1)])
def test_a_shares_interval_is_that_of_statsmodels(k: int, n: int) -> None:
    found = statistics.share_interval(k, n)
    assert found == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-9)


def test_of_no_trial_a_share_may_be_anything() -> None:
    assert statistics.share_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("a", "b"), [((56, 70), (48, 80)), ((9, 10), (3, 10)), ((0, 6), (6, 6))])
def test_two_shares_differ_as_statsmodels_says(a: tuple[int, int], b: tuple[int, int]) -> None:
    """The first is the worked example of Newcombe (1998), table II, case (a): 0.0524 to 0.3339, by its method 10."""
    found = statistics.share_difference(b, a)
    low, high = confint_proportions_2indep(*a, *b, method="newcomb", compare="diff")
    assert found == pytest.approx((low, high), abs=1e-9)
    if a == (56, 70):
        assert found == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_rates_have_a_harmonic_mean() -> None:
    """The same way at 30 and at 60 km/h takes as long as at 40."""
    assert statistics.harmonic_mean([30.0, 60.0]) == pytest.approx(40)
    assert math.isnan(statistics.harmonic_mean([]))


def test_a_spreads_interval_is_bonetts() -> None:
    """Its definition, written out (Bonett 2006, formula 2), of the logarithms."""
    values = np.exp(np.random.default_rng(6).normal(0, 0.1, 25))
    logs, n, z = np.log(values), 25, stats.norm.ppf(0.975)
    trimmed = stats.trim_mean(logs, 1 / (2 * math.sqrt(n - 4)))
    kurtosis = n * np.sum((logs - trimmed) ** 4) / np.sum((logs - logs.mean()) ** 2) ** 2
    c = n / (n - z)
    error = c * math.sqrt((kurtosis - (n - 3) / n) / (n - 1))
    wanted = [math.sqrt(math.exp(math.log(c * logs.var(ddof=1)) + sign * z * error)) for sign in (-1, 1)]  # fmt: skip
    assert statistics.spread_interval(values) == pytest.approx(wanted)
    assert statistics.spread(values) == pytest.approx(logs.std(ddof=1))
    assert statistics.spread_interval([1.0] * 8) is None
    assert math.isnan(statistics.spread([1.0, 0.0]))


@pytest.mark.parametrize(("n", "m"), [(6, 6), (8, 12), (20, 20), (60, 50)])
def test_a_shift_of_two_samples_is_in_the_interval_where_mann_and_whitney_do_not_refuse_it(
    n: int, m: int
) -> None:
    dice = np.random.default_rng([n, m])
    a, b = dice.normal(0, 1, n), dice.normal(0.5, 1, m)
    found = ratios.apart(a, b)
    assert found.middle == pytest.approx(np.median(b[:, None] - a[None, :]))
    assert found.interval is not None
    exact = "exact" if max(n, m) <= 20 else "asymptotic"
    differences = np.sort((b[:, None] - a[None, :]).ravel())
    for inside, outside in around(found.interval, differences):
        p = [stats.mannwhitneyu(b - shift, a, method=exact).pvalue for shift in (inside, outside)]
        assert p[1] < 0.051
        assert p[0] > 0.049


@pytest.mark.parametrize("n", [6, 9, 20, 45, 120])
def test_a_shift_of_pairs_is_in_the_interval_where_wilcoxon_does_not_refuse_it(n: int) -> None:
    dice = np.random.default_rng(n)
    a = dice.normal(0, 1, n)
    b = a + dice.normal(0.5, 0.3, n)
    found = ratios.paired(a, b)
    assert found.interval is not None
    assert found.interval.low < found.middle < found.interval.high
    how = "exact" if n <= 40 else "asymptotic"
    each = b - a
    walsh = np.sort(((each[:, None] + each[None, :]) / 2)[np.triu_indices(n)])
    for inside, outside in around(found.interval, walsh):
        p = [stats.wilcoxon(each - shift, method=how).pvalue for shift in (inside, outside)]
        assert p[1] < 0.051
        assert p[0] > 0.049


def around(
    interval: Interval, ordered: "np.ndarray[tuple[int], np.dtype[np.float64]]"
) -> list[tuple[float, float]]:
    """For each end a shift just inside it, and one beyond the order statistic that lies next outside it."""
    low, high = ordered[ordered <= interval.low][-1], ordered[ordered >= interval.high][0]
    return [(interval.low + 1e-9, low - 1e-9), (interval.high - 1e-9, high + 1e-9)]


def test_pairs_that_lack_one_are_left_out_and_five_have_no_interval() -> None:
    a, b = np.arange(7.0), np.arange(7.0) + 1
    a[0] = b[6] = np.nan
    assert ratios.paired(a, b) == ratios.paired(a[1:6], b[1:6])
    assert ratios.paired(a, b).interval is None
    assert ratios.paired(a[:0], b[:0]).interval is None


def test_many_values_are_thinned_evenly_and_still_hold_the_truth() -> None:
    dice = np.random.default_rng(7)
    a = dice.normal(0, 1, 5_000)
    for found in (
        ratios.paired(a, a + dice.normal(1, 1, 5_000)),
        ratios.apart(a, dice.normal(1, 1, 5_000)),
    ):
        assert found.interval is not None
        assert found.interval.holds(1.0)
        assert found.interval.high - found.interval.low < 0.5
