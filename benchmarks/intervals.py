"""Claim: an interval of 95 % holds the truth in 95 % of cases. By simulation: values are drawn whose truth is known."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.claim import Claim, Tell
from benchmarks.rows import Limit, Row
from benchmarks.statistics import bootstrap
from labctl.analysis import statistics
from labctl.analysis.effect_size import effect
from labctl.analysis.metrics import BY_COLUMN
from labctl.analysis.statistics import Floats, Interval

SIZES = (6, 10, 20, 60)
DRAWS = 4_000
"""of what is worked out at once"""
BOOTSTRAPS = 1_000
RESAMPLES = 2_000
"""of what is bootstrapped: a share of 0.95 of so many is right within 0.014"""
LIMIT = Limit(least=0.93, most=0.97)
SEED = 59

Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]


@dataclass(frozen=True)
class Law:
    """A distribution, with its median and the standard deviation of its logarithm."""

    name: str
    draw: Draw
    median: float
    spread: float


LAWS = (
    Law("log-normal, 10 %", lambda dice, size: np.exp(dice.normal(0, 0.1, size)), 1.0, 0.1),
    Law(
        "with a tail: 1 + exponential, 20 %",
        lambda dice, size: 1 + dice.exponential(0.2, size),
        1 + 0.2 * float(np.log(2)),
        float(np.log1p(np.random.default_rng(0).exponential(0.2, 2_000_000)).std()),
    ),
    Law(
        "two humps, 20 % apart",
        lambda dice, size: np.exp(dice.normal(0, 0.03, size) + 0.2 * (dice.random(size) < 0.35)),
        float(np.median(_two_humps := np.exp(np.random.default_rng(0).normal(0, 0.03, 2_000_000) + 0.2 * (np.random.default_rng(1).random(2_000_000) < 0.35)))),
        float(np.log(_two_humps).std()),
    ),
)  # fmt: skip


def measure(tell: Tell) -> Iterator[Row]:
    """Each interval, for each law and size."""
    yield from rows(tell, DRAWS, BOOTSTRAPS)


def rows(tell: Tell, draws: int, bootstraps: int) -> Iterator[Row]:
    """The table, from so many draws each; without the bootstraps, which are there to be compared with, when those are none."""
    kinds: tuple[tuple[str, str, Callable[[Law, int, np.random.Generator], float], int, Limit | None], ...] = (
        ("median", "the median", _of_median, draws, LIMIT),
        ("paired", "a ratio, cells of one run", _of_ratio(paired=True), draws, LIMIT),
        ("apart", "a ratio, two runs", _of_ratio(paired=False), draws, LIMIT),
        ("spread", "the spread", _of_spread, draws, None),
        ("bootstrap", "the median, had it been the percentile bootstrap's", _of_bootstrap, bootstraps, None),
        ("two-bootstraps", "the ratio of two medians, had it been the bootstrap's by block", _of_two_bootstraps, bootstraps, None),
    )  # fmt: skip
    for place, (name, what, covers, times, limit) in enumerate(kinds):
        if not times:
            continue
        tell(what, place / (len(kinds) + 1))
        yield _row(name, what, covers, times, limit)
    tell("shares", len(kinds) / (len(kinds) + 1))
    yield _shares(draws)


def _row(
    name: str,
    what: str,
    covers: Callable[[Law, int, np.random.Generator], float],
    times: int,
    limit: Limit | None,
) -> Row:
    """The coverage that is farthest from 95 %, over all laws and sizes."""
    points = []
    for law in LAWS:
        for n in SIZES:
            dice = np.random.default_rng([SEED, n, len(law.name)])
            share = float(np.mean([covers(law, n, dice) for _ in range(times)]))
            points.append({"law": law.name, "n": n, "covered": share})
    shares = [float(str(point["covered"])) for point in points]
    worst = max(points, key=lambda point: abs(float(str(point["covered"])) - 0.95))
    return Row(
        name, f"intervals of 95 %, {what}: covered the truth, the case farthest from it",
        float(str(worst["covered"])), "", times * len(points), limit=limit, points=points,
        note=f"{worst['law']}, n {worst['n']}; from {min(shares):.3f} to {max(shares):.3f} over "
        f"{len(LAWS)} laws and n of {', '.join(map(str, SIZES))}",
    )  # fmt: skip


def _holds(interval: Interval | None, value: float) -> float:
    return float(interval is not None and interval.holds(value))


def _of_median(law: Law, n: int, dice: np.random.Generator) -> float:
    return _holds(statistics.median_interval(law.draw(dice, (n,))), law.median)


def _of_spread(law: Law, n: int, dice: np.random.Generator) -> float:
    return _holds(statistics.spread_interval(law.draw(dice, (n,))), law.spread)


def _of_bootstrap(law: Law, n: int, dice: np.random.Generator) -> float:
    values = law.draw(dice, (n,))
    low, high = bootstrap(values.tolist(), lambda samples: np.median(samples, axis=1))
    return _holds(Interval(low, high), law.median)


def _of_two_bootstraps(law: Law, n: int, dice: np.random.Generator) -> float:
    """Of cells of one run, whole blocks drawn: the ratio of two medians."""
    block = np.exp(dice.normal(0, 0.05, (n, 1)))
    pairs = law.draw(dice, (n, 2)) * block
    medians = np.median(pairs[dice.integers(0, n, (RESAMPLES, n))], axis=1)
    low, high = np.quantile(medians[:, 1] / medians[:, 0], [0.025, 0.975])
    return _holds(Interval(float(low), float(high)), 1.0)


def _of_ratio(*, paired: bool) -> Callable[[Law, int, np.random.Generator], float]:
    """Two cells of the same truth; those of one run share what a block does to both."""
    metric = BY_COLUMN["total_time_ms"]

    def covers(law: Law, n: int, dice: np.random.Generator) -> float:
        sides = [law.draw(dice, (n, 1)) for _ in range(2)]
        if paired:
            block = np.exp(dice.normal(0, 0.05, (n, 1)))
            sides = [side * block for side in sides]
        found = effect("", metric, sides[0], sides[1], paired=paired)
        return _holds(found.interval if found else None, 1.0)

    return covers


def _shares(times: int) -> Row:
    """Wilson's interval, over probabilities drawn alike between 0 and 1: of one probability the discreteness alone decides."""
    dice = np.random.default_rng(SEED)
    points = []
    for n in SIZES:
        truths = dice.random(times)
        seen = dice.binomial(n, truths)
        held = [
            statistics.share_interval(int(k), n).holds(p) for k, p in zip(seen, truths, strict=True)
        ]
        points.append({"n": n, "covered": float(np.mean(held))})
    worst = max(points, key=lambda point: abs(point["covered"] - 0.95))
    return Row(
        "share", "intervals of 95 %, a share: covered the truth, the case farthest from it",
        worst["covered"], "", times * len(SIZES), limit=LIMIT, points=points, note=f"n {worst['n']}",
    )  # fmt: skip


CLAIM = Claim(
    "intervals",
    f"""Values are drawn from a law whose truth is known ({"; ".join(law.name for law in LAWS)}), {DRAWS} times for each number of
    values ({", ".join(map(str, SIZES))}; {BOOTSTRAPS} times where an interval is a bootstrap's), and it is counted how often the
    interval holds the truth. Shares: over probabilities drawn alike between 0 and 1. The rows
    of bootstraps are the reason why these intervals are none.""",
    estimate_s=100,
    measure=measure,
)
