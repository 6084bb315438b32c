"""Claim: the regression gate finds a change of 10 % and reports none where there is none. By simulation, seeded."""

from collections.abc import Iterator

import numpy as np

from benchmarks.claim import Claim, Tell
from benchmarks.rows import Limit, Row
from benchmarks.simulated import campaign, noisy
from labctl.analysis.compare import compare_runs
from labctl.analysis.gate import Condition, failures
from labctl.analysis.statistics import share_interval

REPETITIONS = 100
BLOCKS = 20
NOISE = 0.05
"""of repetitions: standard deviation of the logarithm, about what migrations show on a shared machine"""
CONDITION = "blackout worsens by > 5%"
PLANTED = 1.10
_MIDDLE_MS = 100.0


def reported(seed: int, planted: float) -> bool:
    """Whether the gate reports anything between two runs of one cell, of which the second is `planted` times as slow."""
    dice = np.random.default_rng([2015, seed])
    runs = [
        campaign(
            {"precopy": noisy(dice, _MIDDLE_MS * factor, NOISE, BLOCKS)},
            {"precopy": noisy(dice, _MIDDLE_MS * factor, NOISE, BLOCKS)},
        )
        for factor in (1.0, planted)
    ]
    condition = Condition.parse(CONDITION)
    assert condition.metric is not None
    return bool(failures(condition, compare_runs(runs[0], runs[1], [condition.metric])))


def measure(tell: Tell) -> Iterator[Row]:
    """A hundred of each."""
    yield from rows(tell)


def rows(tell: Tell) -> Iterator[Row]:
    """Both rates."""
    for name, planted, what, limit in (
        ("found", PLANTED, f"a change of {PLANTED - 1:.0%} between two runs: reported", Limit(least=0.95)),
        ("aa", 1.0, "A/A, two runs of the same: reported", Limit(most=0.05)),
    ):  # fmt: skip
        tell(what, float(name == "aa") / 2)
        found = [reported(seed, planted) for seed in range(REPETITIONS)]
        share = sum(found) / len(found)
        yield Row(
            name, f"regression gate, {what}", share, "", len(found),
            interval=share_interval(sum(found), len(found)), limit=limit,
            note=f"{BLOCKS} blocks each, noise {NOISE:.0%}, `{CONDITION}`",
        )  # fmt: skip


CLAIM = Claim(
    "gate",
    f"""Two runs of one cell with {BLOCKS} blocks each are drawn (log-normal, {NOISE:.0%}), a twin of it interleaved, {REPETITIONS} times with a
    change of {PLANTED - 1:.0%} and {REPETITIONS} times without; `labctl compare --fail-if '{CONDITION}'` judges them.""",
    estimate_s=10,
    measure=measure,
)
