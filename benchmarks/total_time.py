"""Claims: sampling does not lengthen a migration, and a trial costs little beside it."""

import json
import random
from collections.abc import Iterator
from typing import Any

from benchmarks import overhead, programs
from benchmarks.claim import Claim, NotMeasured, Tell
from benchmarks.lab import Ran, Trials
from benchmarks.rows import Limit, Row
from benchmarks.statistics import median, median_interval
from labctl.campaign import Campaign, PlannedTrial, parse_campaign
from labctl.migration.algorithms import compile_schedule

TRIPLES = 20
SPARE = 4
MOST = 1.05
_SEED = 20_15
_LEAD_S = 0.1
"""labctl samples so long before it migrates: the bare script waits as long"""
_LIMIT_S = 60.0
_TRIPLE_S = 15.0

CAMPAIGN = f"""
name: total-time
guest: {{memory: 256MiB, working_set: 64MiB, write_rate: 40MiB/s}}
link: {{bandwidth: 1Gbit/s}}
algorithm: precopy
limits: {{total_time: 20s}}
timing: {{baseline: 500ms, settle: 300ms}}
repetitions: {TRIPLES + SPARE}
warmups: 2
"""


def campaign() -> Campaign:
    """What is migrated, by labctl and by the bare script."""
    return parse_campaign(CAMPAIGN, "total-time.yaml")


def measure(tell: Tell) -> Iterator[Row]:
    """Triples of a bare migration, another, and one of labctl's, each triple in an order of its own."""
    asked = campaign()
    order = random.Random(_SEED)
    triples: list[dict[str, Any]] = []
    labctls: list[Ran] = []
    template: dict[str, Ran] = {}
    with Trials(asked) as trials:
        for planned in trials.plan.trials:
            if planned.warmup:
                tell("warm-up", 0.0)
                ran = trials.run(planned)
                if ran is not None:
                    template[planned.direction] = ran
                continue
            if len(triples) == TRIPLES:
                break
            tell(f"triple {len(triples) + 1} of {TRIPLES}", len(triples) / TRIPLES)
            if planned.direction not in template:
                raise NotMeasured("the machine was too busy for the load of the warm-up")
            arms = ["bare", "bare_again", "labctl"]
            order.shuffle(arms)
            times: dict[str, float] = {}
            for arm in arms:
                if arm != "labctl":
                    said = migrate_bare(trials, planned, template[planned.direction])
                    times[arm] = float(said["total_time_ms"])
                elif (ran := trials.run(planned)) is not None:
                    labctls.append(ran)
                    times[arm] = ran.figure("total_time_ms")
            if "labctl" in times:
                triples.append({"order": arms, **times})
        if len(triples) < TRIPLES:
            raise NotMeasured(
                f"{trials.invalid_loads} trials did not reach their load: the machine is too busy"
            )
    yield from rows(triples)
    yield overhead.row(labctls, asked.timing)


def rows(triples: list[dict[str, Any]]) -> Iterator[Row]:
    """The time of labctl by that of the two bare ones (their geometric mean), and one bare one by the other."""
    labctl = [t["labctl"] / (t["bare"] * t["bare_again"]) ** 0.5 for t in triples]
    bare = [t["bare_again"] / t["bare"] for t in triples]
    seconds = median([t["bare"] for t in triples]) / 1000
    yield Row(
        "ratio", "total time: labctl by a bare QMP script, median of triples", median(labctl), "",
        len(labctl), median_interval(labctl), Limit(most=MOST, of="interval"),
        note=f"the bare one takes {seconds:.2f} s", points=triples,
    )  # fmt: skip
    yield Row(
        "aa", "A/A: the bare script by itself", median(bare), "", len(bare), median_interval(bare)
    )


def migrate_bare(trials: Trials, planned: PlannedTrial, template: Ran) -> dict[str, Any]:
    """Migrate the same machine with the bare script, in the direction and the namespaces of a trial."""
    cell = trials.plan.cell(planned.cell)
    schedule = compile_schedule(cell)
    source, destination = trials.pair.ends(planned.direction)
    job = {
        "ends": {
            side: {
                "argv": template.record.qemu[side].argv,
                "namespace_pid": end.node.hello["pid"],
            }
            for side, end in (("source", source), ("destination", destination))
        },
        "caller": trials.pair.a.run_as,
        "capabilities": schedule.capabilities,
        "parameters": schedule.parameters,
        "start": schedule.start,
        "address": destination.address,
        "work_s": campaign().timing.baseline_s + _LEAD_S,
        "limit_s": _LIMIT_S,
    }
    with programs.started("bare") as process:
        said: dict[str, Any] = programs.answer(process, json.dumps(job) + "\n", 2 * _LIMIT_S)
    if said["status"] != "completed":
        raise NotMeasured(f"the bare migration {said['status']}")
    return said


CLAIM = Claim(
    "total-time",
    f"""{TRIPLES} triples: a bare migration, another, and one of labctl's, in random order, of a 256 MiB guest that writes 40 MiB/s, over
    1 Gbit/s. Bare (`benchmarks/bare.py`): QEMU's command line, guest, namespaces, link, capabilities and parameters are those of the
    trial; it samples nothing, asks nothing between `migrate` and the event that ends it, and throws the beats away ten times a second,
    unread. Compared is QEMU's own total time. The overhead is that of the same {TRIPLES} trials, from start to result on disk; a guest that
    fills and checks its memory is part of it. For scale: QEMU's own guestperf, measured on a machine of this kind, took 31.8 s for a migration of 1.5 s,
    kept 3 samples of it, and lost the result of one that did not converge.""",
    estimate_s=TRIPLES * _TRIPLE_S + 15,
    measure=measure,
)
