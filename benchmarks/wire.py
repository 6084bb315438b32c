"""Claim: `wire_bytes` is what crossed the link."""

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks import capture, programs
from benchmarks.claim import Claim, NotMeasured, Tell
from benchmarks.lab import Ran, Trials
from benchmarks.rows import Limit, Row
from benchmarks.statistics import median, median_interval
from labctl.campaign import Campaign, PlannedTrial, parse_campaign
from labctl.lab.embedded import INTERFACE

EACH = 6
SPARE = 2
"""trials for those that do not count, since the machine was too busy for their load"""
LIMIT = Limit(least=0.999, most=1.001)
_ANSWER_S = 20.0
_TRIAL_S = 6.5

CAMPAIGN = f"""
name: wire
guest: {{memory: 128MiB, working_set: 32MiB, write_rate: 20MiB/s}}
link: {{bandwidth: 1Gbit/s}}
algorithms:
  tcp: {{kind: precopy}}
  multifd: {{kind: precopy, multifd_channels: 4}}
matrix: {{algorithm: [tcp, multifd]}}
limits: {{total_time: 20s}}
timing: {{baseline: 300ms, settle: 300ms}}
repetitions: {EACH + SPARE}
warmups: 1
"""


def campaign() -> Campaign:
    """What is migrated."""
    return parse_campaign(CAMPAIGN, "wire.yaml")


def measure(tell: Tell) -> Iterator[Row]:
    """Trials with two counts beside them in the destination's network namespace."""
    ratios: dict[str, list[float]] = {}
    same: dict[str, list[float]] = {}
    points: dict[str, list[dict[str, float]]] = {}
    with Trials(campaign()) as trials:
        for number, planned in enumerate(trials.plan.trials):
            if len(ratios.get(planned.cell, ())) == EACH:
                continue
            tell(f"trial {planned.name}", number / len(trials.plan.trials))
            counted = count_trial(trials, planned)
            if counted is None or planned.warmup:
                continue
            ran, first, second = counted
            wire = ran.figure("wire_bytes")
            ratios.setdefault(planned.cell, []).append(wire / first)
            same.setdefault(planned.cell, []).append(second / first)
            points.setdefault(planned.cell, []).append(
                {"wire_bytes": wire, "counted_bytes": first, "counted_again_bytes": second}
            )
        for cell in trials.plan.cells:
            if cell.name not in ratios:
                raise NotMeasured("the machine was too busy for the load of any trial")
            name = cell.algorithm.name
            yield _row(
                name,
                f"wire bytes over {name}: labctl's by the count",
                ratios[cell.name],
                points[cell.name],
            )
            yield _row(f"{name}-aa", f"A/A, {name}: one count by another", same[cell.name], [])


def _row(name: str, what: str, ratios: list[float], points: list[dict[str, float]]) -> Row:
    interval = median_interval(ratios)
    limit = LIMIT if points else None
    worst = max(abs(ratio - 1) for ratio in ratios)
    return Row(
        name, what, median(ratios), "", len(ratios), interval, limit, f"at most {100 * worst:.4f} % apart", points
    )  # fmt: skip


def count_trial(trials: Trials, planned: PlannedTrial) -> tuple[Ran, int, int] | None:
    """A trial, and what each of two counts has seen of it."""
    _source, destination = trials.pair.ends(planned.direction)
    # Before the trial does: a packet socket wants an interface that is up.
    trials.pair.set_link(trials.plan.cell(planned.cell).link)
    enter = ("nsenter", f"--net=/proc/{destination.node.hello['pid']}/ns/net", "--")
    with ExitStack() as ending:
        counting = [
            ending.enter_context(programs.started("capture", INTERFACE, prefix=enter))
            for _ in range(2)
        ]
        for process in counting:
            assert process.stdout is not None
            if not process.stdout.readline():
                programs.answer(process, "", _ANSWER_S)
                raise NotMeasured("the count did not begin")
        ran = trials.run(planned)
        said = [programs.answer(process, "", _ANSWER_S) for process in counting]
    if ran is None:
        return None
    for one in said:
        if one["dropped"]:
            raise NotMeasured(f"the count has lost {one['dropped']} frames")
    times = ran.record.times
    assert times.migrate_start_ns is not None
    span = (times.migrate_start_ns, times.entered["check"])
    first, second = (capture.within(one, *span) for one in said)
    return ran, first, second


CLAIM = Claim(
    "wire",
    f"""{EACH} migrations each over TCP and over multifd with 4 channels, segmentation offload as it is. The count: a packet
    socket in the destination's network namespace sees every frame of both directions, and counts one that is handed on whole under offload
    as the frames it becomes, headers repeated, because that is what `wire_bytes` claims to count (the interface's own counters would be 4 %
    short). The count is of the same time as the figure. What may differ: a frame that straddles either end of it, and
    the frames of the kernel's own (ARP) then; 0.1 % is more than those and far less than the headers.""",
    estimate_s=2 * EACH * _TRIAL_S + 10,
    measure=measure,
)
