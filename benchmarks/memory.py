"""Claim: a large memory that is filled really crosses the link."""

from collections.abc import Iterator

from benchmarks.claim import Claim, NotMeasured, Tell
from benchmarks.lab import GIB, Trials
from benchmarks.rows import Limit, Row
from labctl.campaign import Campaign, parse_campaign

LEAST_GIB = 7.0
ALGORITHMS = ("precopy", "postcopy", "hybrid")
_TRIAL_S = 60.0

CAMPAIGN = f"""
name: memory
guest: {{memory: 8GiB, working_set: 64MiB, write_rate: 10MiB/s, fill: random}}
link: {{bandwidth: 10Gbit/s}}
matrix: {{algorithm: [{", ".join(ALGORITHMS)}]}}
limits: {{total_time: 120s}}
repetitions: 2
warmups: 0
"""


def campaign() -> Campaign:
    """One migration each; a second is there for a trial whose load was not reached."""
    return parse_campaign(CAMPAIGN, "memory.yaml")


def measure(tell: Tell) -> Iterator[Row]:
    """One trial of each algorithm."""
    done: set[str] = set()
    with Trials(campaign()) as trials:
        for planned in trials.plan.trials:
            name = trials.plan.cell(planned.cell).algorithm.name
            if name in done:
                continue
            tell(name, len(done) / len(ALGORITHMS))
            ran = trials.run(planned)
            if ran is None:
                continue
            done.add(name)
            ram, wire = ran.figure("ram_bytes") / GIB, ran.figure("wire_bytes") / GIB
            seconds = ran.figure("total_time_ms") / 1000
            yield Row(
                name, f"8 GiB filled with random bytes over 10 Gbit/s, {name}: RAM on the wire", ram, "GiB",
                1, limit=Limit(least=LEAST_GIB),
                note=f"{wire:.2f} GiB on the wire with headers, in {seconds:.1f} s",
                points=[{"ram_bytes": ram * GIB, "wire_bytes": wire * GIB, "total_time_ms": seconds * 1000}],
            )  # fmt: skip
    if missing := [name for name in ALGORITHMS if name not in done]:
        raise NotMeasured(
            f"{', '.join(missing)}: the load was not reached: the machine is too busy"
        )


CLAIM = Claim(
    "memory",
    """One migration each by precopy, postcopy and hybrid of an 8 GiB guest that fills all of its memory with random bytes before
    and writes 10 MiB/s meanwhile. RAM on the wire is what QEMU says it transferred; `wire_bytes`, which `wire` holds to a count, stands beside it.""",
    estimate_s=len(ALGORITHMS) * _TRIAL_S,
    measure=measure,
)
