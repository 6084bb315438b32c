"""Claim: a scrape does not disturb a migration."""

import random
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from benchmarks import programs
from benchmarks.claim import Claim, NotMeasured, Tell
from benchmarks.lab import Trials
from benchmarks.rows import Limit, Row
from benchmarks.scraper import PERIOD_S
from benchmarks.statistics import median, median_interval
from benchmarks.total_time import MOST, TRIPLES
from benchmarks.total_time import campaign as migrated
from labctl.campaign import Campaign, Plan, PlannedTrial, make_plan
from labctl.events import RunStarted, TrialEnded, TrialStarted
from labctl.monitoring.families import families
from labctl.monitoring.live import LiveMetrics
from labctl.monitoring.metrics import RESULTS
from labctl.monitoring.readings import read
from labctl.monitoring.serving import served
from labctl.monitoring.standing import Standing

SERIES = 500
"""at least"""
SPARE = 4
MOST_MS = 1e3 * PERIOD_S
"""Prometheus waits no longer than its interval, and then has a gap"""
_SEED = 20_15
_TRIPLE_S = 18.0
_ANSWER_S = 20.0


def large() -> Plan:
    """A campaign of 100 cells, for its series."""
    asked: dict[str, Any] = {
        "name": "series",
        "guest": {"memory": "64MiB", "working_set": "16MiB"},
        "link": {"bandwidth": "1Gbit/s"},
        "matrix": {
            "algorithm": ["stop_and_copy", "precopy", "postcopy", "hybrid"],
            "write_rate": [f"{rate}MiB/s" for rate in range(25)],
        },
        "repetitions": "1",
        "warmups": "0",
    }
    return make_plan(Campaign.model_validate(asked))


class Beside(Collector):
    """A run that has been through a plan, as Prometheus would read it."""

    def __init__(self, plan: Plan) -> None:
        self._standing = standing = Standing(plan, run="series")
        started = RunStarted(Path(), "series", len(plan.trials), 0, 1.0, ("a-b",), "none")
        standing.take(started, 0.0)
        figures = {result.column: 1.0 for result in RESULTS}
        for trial in plan.trials:
            number, name = trial.number, trial.name
            standing.take(TrialStarted(number, name, "a-b", 1, False, 1.0, 1.0), 0.0)
            ended = TrialEnded(number, name, "completed", "on_destination", None, False, 1.0)
            ended.figures.update(figures)
            standing.take(ended, 0.0)
        standing.score()
        self.series = sum(1 for _ in read(standing, 0.0))

    def collect(self) -> Iterator[Metric]:
        """All of it, read anew."""
        yield from families(read(self._standing, 0.0))


def measure(tell: Tell) -> Iterator[Row]:
    """Triples of a trial, another, and one that is scraped, each triple in an order of its own."""
    order = random.Random(_SEED)
    triples: list[dict[str, Any]] = []
    scrapes_ms: list[float] = []
    beside, live = Beside(large()), LiveMetrics()
    if beside.series < SERIES:
        raise NotMeasured(f"the page has {beside.series} series only")
    asked = migrated().model_copy(update={"repetitions": 3 * (TRIPLES + SPARE)})
    with Trials(asked, observers=(live,)) as trials, served([live, beside], "0") as url:
        for warmup in (trial for trial in trials.plan.trials if trial.warmup):
            tell("warm-up", 0.0)
            trials.run(warmup)
        left = (trial for trial in trials.plan.trials if not trial.warmup)
        while len(triples) < TRIPLES:
            tell(f"triple {len(triples) + 1} of {TRIPLES}", len(triples) / TRIPLES)
            arms = ["plain", "plain_again", "scraped"]
            order.shuffle(arms)
            times: dict[str, float] = {}
            for arm in arms:
                if (planned := next(left, None)) is None:
                    raise NotMeasured(
                        f"{trials.invalid_loads} trials did not reach their load: the machine is too busy"
                    )
                ran_ms, took_ms = run(trials, planned, url if arm == "scraped" else None)
                scrapes_ms += took_ms
                if ran_ms is not None:
                    times[arm] = ran_ms
            if len(times) == len(arms):
                triples.append({"order": arms, **times})
    yield from rows(triples, scrapes_ms, beside.series)


def run(trials: Trials, planned: PlannedTrial, url: str | None) -> tuple[float | None, list[float]]:
    """Run a trial, scraped or not: its total time in ms, None where it did not count, and what each scrape took."""
    scraper = programs.started("scraper", url) if url else nullcontext(None)
    with scraper as process:
        ran = trials.run(planned)
        took_ms: list[float] = programs.answer(process, "", _ANSWER_S) if process else []
    return None if ran is None else ran.figure("total_time_ms"), took_ms


def rows(triples: list[dict[str, Any]], scrapes_ms: list[float], series: int) -> Iterator[Row]:
    """The time of the scraped by that of the two others (their geometric mean), one of these by the other; the scrapes."""
    scraped = [t["scraped"] / (t["plain"] * t["plain_again"]) ** 0.5 for t in triples]
    plain = [t["plain_again"] / t["plain"] for t in triples]
    yield Row(
        "ratio", "total time: scraped every second by not scraped, median of triples", median(scraped),
        "", len(scraped), median_interval(scraped), Limit(most=MOST, of="interval"),
        note=f"more than {series} series", points=triples,
    )  # fmt: skip
    yield Row(
        "aa", "A/A: not scraped by itself", median(plain), "", len(plain), median_interval(plain)
    )
    yield Row(
        "scrape", "a scrape while trials run, p99", float(np.percentile(scrapes_ms, 99)), "ms",
        len(scrapes_ms), None, Limit(most=MOST_MS), points=scrapes_ms,
        note=f"p50 {median(scrapes_ms):.1f} ms",
    )  # fmt: skip


CLAIM = Claim(
    "scraping",
    f"""{TRIPLES} triples of labctl's own trials, those of `total-time`, in random order: two that nobody reads the metrics of, and one whose page
    is read every second by another process, as Prometheus would. The page is that of the running campaign, and of another of 100 cells beside it,
    so that it has more than {SERIES} series. All of it is on one machine. Compared is QEMU's own total time.""",
    estimate_s=TRIPLES * _TRIPLE_S + 15,
    measure=measure,
)
