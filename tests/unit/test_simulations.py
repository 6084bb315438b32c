"""What the statistics are worth, by simulation: a smaller form of `python -m benchmarks intervals gate`."""

import pytest

from benchmarks import intervals, regression
from benchmarks.rows import Row


def quiet(_what: str, _done: float) -> None:
    pass


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_intervals_of_95_percent_hold_the_truth_in_about_that_many_cases() -> None:
    """Fewer draws than the benchmark has, so a wider limit: three standard errors more on each side."""
    draws = 1500
    rows = list(intervals.rows(quiet, draws, bootstraps=0))
    for row in rows:
        print(f"{row.what}: {row.value} ({row.note})")
    held = [row for row in rows if row.limit is not None]
    assert {row.name for row in held} == {"median", "paired", "apart", "share"}
    error = 3 * (0.95 * 0.05 / draws) ** 0.5
    for row in held:
        assert row.limit is not None
        assert row.value is not None
        assert row.limit.least is not None
        assert row.limit.most is not None
        assert row.limit.least - error < row.value < row.limit.most + error, row


def test_a_planted_regression_is_found_and_the_same_twice_is_not_reported() -> None:
    rows: dict[str, Row] = {row.name: row for row in regression.rows(quiet)}
    for row in rows.values():
        print(f"{row.what}: {row.value:.0%} of {row.n}, {row.note}")
    assert all(row.passed for row in rows.values()), rows
