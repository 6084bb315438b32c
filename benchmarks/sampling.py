"""Claim: measuring costs each node at most a tenth of a core, and gives the samples that were asked for."""

from collections.abc import Iterator

from benchmarks.claim import Claim, NotMeasured, Tell
from benchmarks.cost import KINDS, Cost, of_trial
from benchmarks.lab import opened, pair_of
from benchmarks.rows import Limit, Row
from benchmarks.statistics import median, median_interval
from labctl.campaign import Campaign, expand, parse_campaign
from labctl.node.sampler import PERIOD_S

TRIALS = 6
MOST_PERCENT = 10.0
NODES = {
    "source": "samples the source",
    "destination": "samples the destination",
    "observer": "takes the beats",
}
SIDES = ("source", "destination")
_LIMIT_S = 5
_TRIAL_S = _LIMIT_S + 3.5


def campaign(bandwidth: str = "1Gbit/s") -> Campaign:
    """A migration that does not converge, so that it is measured for as long as its limit."""
    text = f"""
name: sampling
guest: {{memory: 256MiB, working_set: 128MiB, write_rate: 400MiB/s}}
link: {{bandwidth: {bandwidth}}}
algorithm: precopy
limits: {{total_time: {_LIMIT_S}s, downtime: 30ms}}
timing: {{baseline: 500ms, settle: 300ms}}
"""
    return parse_campaign(text, "sampling.yaml")


def measure(tell: Tell) -> Iterator[Row]:
    """Trials, and the CPU time of each node's process meanwhile."""
    asked = campaign()
    (cell,) = expand(asked)
    costs: list[Cost] = []
    with opened(asked) as lab:
        for number in range(TRIALS):
            tell(f"trial {number + 1} of {TRIALS}", number / TRIALS)
            cost, raw = of_trial(pair_of(lab), cell, asked.timing)
            if raw.outcome == "failed":
                raise NotMeasured(f"the trial failed: {raw.reason}")
            if cost is not None:  # it reached its load
                costs.append(cost)
    if not costs:
        raise NotMeasured("no trial reached its load: the machine is too busy")
    yield from rows(costs)


def rows(costs: list[Cost]) -> Iterator[Row]:
    """CPU by node, and the gaps between samples by side and kind."""
    for node, does in NODES.items():
        shares = [100 * cost.cpu_share[node] for cost in costs]
        yield Row(
            f"cpu-{node}", f"CPU of the node that {does}, of a core, median", median(shares), "%",
            len(shares), median_interval(shares), Limit(most=MOST_PERCENT), points=shares,
            note=f"{median([cost.beats_per_s for cost in costs]):.0f} beats/s" if node == "observer" else "",
        )  # fmt: skip
    what = {"migrate": "answers to query-migrate", "host": "counters of the host"}
    for side in SIDES:
        for kind in KINDS:
            found = [cost.gaps[side, kind] for cost in costs]
            p50, p99 = [gap.p50_ms for gap in found], [gap.p99_ms for gap in found]
            yield Row(
                f"gap-{side}-{kind}",
                f"samples of the {side}, {what[kind]}: p99 of the gaps, median of trials",
                median(p99), "ms", len(p99), median_interval(p99), points=p99,
                note=f"p50 {median(p50):.2f} ms, asked {PERIOD_S * 1000:g} ms",
            )  # fmt: skip


CLAIM = Claim(
    "sampling",
    f"""{TRIALS} precopy migrations that do not converge, {_LIMIT_S} s each, of a guest that writes 400 MiB/s. The CPU time of each node's process (threads
    that have ended included) from the start of the migration until its limit, by the time that passed; the gaps are between the moments at which
    samples were begun in that time.""",
    estimate_s=TRIALS * _TRIAL_S + 6,
    measure=measure,
)
