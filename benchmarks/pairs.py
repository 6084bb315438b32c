"""Claim: what a second pair is worth: the same plan on one pair of hosts and on two."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.claim import Claim, NotMeasured, Tell
from benchmarks.hosts import provisioned_hosts
from benchmarks.lab import opened
from benchmarks.rows import Row
from benchmarks.statistics import median, median_interval
from labctl.campaign import Campaign, make_plan, parse_campaign
from labctl.controller import Controller
from labctl.events import Event, RunEnded, TrialEnded
from labctl.lab import Lab
from labctl.results import RunStore

HOSTS = ("h1", "h2", "h3", "h4")
ROUNDS = 6
BLOCKS = 2
_ROUND_S = 25.0

CAMPAIGN = f"""
name: pairs
guest: {{memory: 64MiB, working_set: 16MiB, write_rate: 0MiB/s}}
link: {{bandwidth: 100Mbit/s}}
algorithm: stop_and_copy
limits: {{total_time: 20s}}
timing: {{baseline: 300ms, settle: 200ms}}
repetitions: {BLOCKS}
warmups: 0
"""


@dataclass(frozen=True)
class Run:
    """A plan that was run."""

    pairs: tuple[str, ...]
    wall_s: float
    """from its first trial's start to the last one's result"""
    trials_s: tuple[float, ...]
    """each trial's whole time"""
    links_s: tuple[float, ...]
    """how long each trial's migration had the link"""


def campaign() -> Campaign:
    """An idle guest, which stands still while its memory crosses: the time is its link's."""
    return parse_campaign(CAMPAIGN, "pairs.yaml")


def measure(tell: Tell) -> Iterator[Row]:
    """Rounds of the plan on one pair, by turns this and that one, and on both; which comes first changes too."""
    asked = campaign()
    tell("hosts are provisioned", 0.0)
    rounds: list[tuple[Run, Run]] = []
    with provisioned_hosts(HOSTS) as hosts, opened(asked, name=str(hosts.inventory)) as lab:
        names = tuple(lab.pairs)
        run(lab, names, asked)  # the first trial of a pair measures its link
        for number in range(ROUNDS):
            tell(f"round {number + 1} of {ROUNDS}", (number + 3) / (ROUNDS + 3))
            one, both = (names[number % 2],), names
            done = {which: run(lab, which, asked) for which in _by_turns(number // 2, one, both)}
            rounds.append((done[one], done[both]))
    yield from rows(rounds)


def _by_turns(
    number: int, one: tuple[str, ...], other: tuple[str, ...]
) -> Sequence[tuple[str, ...]]:
    return (other, one) if number % 2 else (one, other)


def run(lab: Lab, names: tuple[str, ...], asked: Campaign) -> Run:
    """Run the campaign on some pairs of an open lab. NotMeasured when a trial does not complete."""
    some = some_of(lab, names)
    plan = make_plan(asked, {name: pair.capabilities() for name, pair in some.pairs.items()})
    heard = _Heard()
    with (
        tempfile.TemporaryDirectory(prefix="labctl-benchmarks-") as out,
        RunStore.create(Path(out), asked, plan, some.environment()) as store,
    ):
        summary = Controller(asked, plan, some, store, (heard,)).run()
    if summary.interrupted:
        raise KeyboardInterrupt
    if summary.fault is not None:
        raise summary.fault
    if heard.ended is None or summary.outcomes != {"completed": len(plan.trials)}:
        raise NotMeasured(f"the trials ended as {dict(summary.outcomes)}")
    return Run(
        names,
        heard.ended.elapsed_s,
        tuple(trial.elapsed_s for trial in heard.trials),
        tuple(float(trial.figures["total_time_ms"]) / 1000 for trial in heard.trials),
    )


def some_of(lab: Lab, names: Sequence[str]) -> Lab:
    """A lab of these pairs of another one, which has opened them and closes them: this one is entered, and not left."""
    pairs = lab.pairs
    return Lab(lab.name, {name: partial(pairs.__getitem__, name) for name in names}).__enter__()


class _Heard:
    """Hears how long trials took, and all of them."""

    def __init__(self) -> None:
        self.trials: list[TrialEnded] = []
        self.ended: RunEnded | None = None

    def handle(self, event: Event) -> None:
        """Take note of an end."""
        if isinstance(event, TrialEnded):
            self.trials.append(event)
        elif isinstance(event, RunEnded):
            self.ended = event


def rows(rounds: Sequence[tuple[Run, Run]]) -> Iterator[Row]:
    """The time on one pair by twice that on two; one pair by the other."""
    shares = [one.wall_s / (2 * both.wall_s) for one, both in rounds]
    alone = [one.wall_s for one, _ in rounds]
    again = [then / before for before, then in zip(alone[::2], alone[1::2], strict=False)]
    trial_alone, trial_beside = (
        median([seconds for done in rounds for seconds in done[which].trials_s]) for which in (0, 1)
    )
    link = median([seconds for one, _ in rounds for seconds in one.links_s])
    yield Row(
        "efficiency", "parallel efficiency of two pairs: the time of a plan on one by twice that on two, median",
        median(shares), "", len(shares), median_interval(shares),
        note=f"{median(alone):.1f} s and {median([both.wall_s for _, both in rounds]):.1f} s; a trial alone takes "
        f"{trial_alone:.2f} s, of which {link:.2f} s the link, and {trial_beside:.2f} s beside another",
        points=[{"one_s": one.wall_s, "two_s": both.wall_s} for one, both in rounds],
    )  # fmt: skip
    yield Row("aa", "A/A: one pair alone by the other, median", median(again), "", len(again), median_interval(again))  # fmt: skip


CLAIM = Claim(
    "pairs",
    f"""Four hosts as in `provisioning`, two pairs, {ROUNDS} rounds: a plan of {BLOCKS} blocks on one pair alone, by turns this and that one, and on both, which take a
    block each; which comes first changes too. A block is a stop-and-copy of an idle guest of 64 MiB over 100 Mbit/s: most of a trial is the
    link's time, and each pair has its own link. What is left (two QEMUs that start, a guest that fills its memory and compares it, the results) wants the
    cores of this machine, which all four hosts share: that is what keeps the efficiency below 1, and a rack's hosts have their own.""",
    estimate_s=60 + 15 + ROUNDS * _ROUND_S,
    measure=measure,
)
