"""Claim: both agents of a host cost little beside a trial over SSH. Measured on the hosts of `ssh`, so it has no command of its own."""

from collections.abc import Iterator
from functools import partial

from benchmarks import sampling
from benchmarks.claim import NotMeasured, Tell
from benchmarks.cost import Cost, of_trial
from benchmarks.hosts import process_here
from benchmarks.lab import opened, pair_of
from benchmarks.rows import Limit, Row
from benchmarks.statistics import median, median_interval
from labctl.campaign import expand
from labctl.lab import Pair
from tests.hosts import Hosts

QUIET, BUSY = "100Mbit/s", "1Gbit/s"
"""the link's bandwidth"""
TRIALS = 6
"""over each"""
SIDES = {"source": "relays its guest's beats", "destination": "observes the beats of both"}
"""what the second agent of each side's host does, beside the one that samples"""
ESTIMATE_S = 2 * TRIALS * 8.5 + 10


def measure(hosts: Hosts, tell: Tell) -> Iterator[Row]:
    """Trials over both links. `tell` hears which part of this is done."""
    for half, bandwidth in enumerate((QUIET, BUSY)):
        yield from rows(bandwidth, costs_of(hosts, bandwidth, partial(_tell_half, tell, half)))


def _tell_half(tell: Tell, before: int, what: str, done: float) -> None:
    tell(what, (before + done) / 2)


def costs_of(hosts: Hosts, bandwidth: str, tell: Tell) -> list[Cost]:
    """What all agents cost in trials that do not converge, each in the other direction."""
    asked = sampling.campaign(bandwidth)
    (cell,) = expand(asked)
    costs: list[Cost] = []
    with opened(asked, name=str(hosts.inventory)) as lab:
        pair = pair_of(lab)
        for number in range(TRIALS):
            tell(f"the agents' CPU, {bandwidth}: trial {number + 1} of {TRIALS}", number / TRIALS)
            direction = ("forward", "reverse")[number % 2]
            pids = processes(hosts, pair, direction)
            cost, raw = of_trial(pair, cell, asked.timing, direction, pids)
            if raw.outcome == "failed":
                raise NotMeasured(f"the trial failed: {raw.reason}")
            if cost is not None:  # it reached its load
                costs.append(cost)
    if not costs:
        raise NotMeasured("no trial reached its load: the machine is too busy")
    return costs


def processes(hosts: Hosts, pair: Pair, direction: str) -> dict[str, int]:
    """Those of a trial's agents, as this machine knows them: of each side `<side>` and `<side> beats`."""
    found = {}
    for side, end in zip(SIDES, pair.ends(direction), strict=True):
        assert end.beats is not None
        found[side] = process_here(hosts[end.host], end.node)
        found[f"{side} beats"] = process_here(hosts[end.host], end.beats)
    return found


def rows(bandwidth: str, costs: list[Cost]) -> Iterator[Row]:
    """CPU by host, its two agents added up. Held to the limit where the link leaves the machine's cores to the agents."""
    rate = median([cost.beats_per_s for cost in costs])
    for side, does in SIDES.items():
        host = [100 * cost.cpu_share[side] for cost in costs]
        beats = [100 * cost.cpu_share[f"{side} beats"] for cost in costs]
        both = [one + other for one, other in zip(host, beats, strict=True)]
        yield Row(
            f"cpu-{side}-{bandwidth}",
            f"CPU of both agents of the host that samples the {side} and {does}, over {bandwidth}, of a core, median",
            median(both), "%", len(both), median_interval(both),
            Limit(most=sampling.MOST_PERCENT) if bandwidth == QUIET else None,
            note=f"{median(host):.1f} % and {median(beats):.1f} %; {rate:.0f} beats/s", points=both,
        )  # fmt: skip
