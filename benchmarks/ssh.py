"""Claims: a trial takes little longer over SSH than on the embedded lab; the agents' cost is told by `agents`."""

import random
from collections.abc import Iterator, Mapping, Sequence

from benchmarks import agents
from benchmarks.claim import Claim, NotMeasured, Tell
from benchmarks.hosts import PAIR, provisioned_hosts
from benchmarks.lab import Ran, Trials
from benchmarks.overhead import overhead_s
from benchmarks.rows import Limit, Row
from benchmarks.statistics import median, median_interval
from labctl.campaign import Campaign, TimingSpec, parse_campaign
from labctl.lab import Pair
from tests.hosts import Hosts

TRIPLES = 8
SPARE = 4
MOST_MORE_S = 1.5
ARMS = ("embedded", "embedded_again", "ssh")
_SEED = 20_15
_PROVISION_S = 60.0
_TIMES_S = TRIPLES * 13.0 + 20

CAMPAIGN = f"""
name: ssh
guest: {{memory: 256MiB, working_set: 64MiB, write_rate: 0MiB/s}}
link: {{bandwidth: 1Gbit/s}}
algorithm: precopy
limits: {{total_time: 20s}}
timing: {{baseline: 500ms, settle: 300ms}}
repetitions: {2 * TRIPLES + SPARE}
warmups: 0
"""


def campaign() -> Campaign:
    """An idle guest: its migration takes the link's time, so that what is left to differ is the lab's."""
    return parse_campaign(CAMPAIGN, "ssh.yaml")


def measure(tell: Tell) -> Iterator[Row]:
    """Trials on both labs by turns; then trials over SSH, and the CPU time of the agents meanwhile."""

    def tell_rest(what: str, done: float) -> None:
        begin = _PROVISION_S + _TIMES_S
        tell(what, (begin + done * agents.ESTIMATE_S) / CLAIM.estimate_s)

    tell("hosts are provisioned", 0.0)
    with provisioned_hosts(PAIR) as hosts:
        triples = take_turns(hosts, tell)
        yield from rows(triples, campaign().timing)
        yield from agents.measure(hosts, tell_rest)


class Turns:
    """A lab's trials of one campaign, one after the other."""

    def __init__(self, trials: Trials) -> None:
        self._trials = trials
        self._left = list(trials.plan.trials)

    def next(self) -> Ran:
        """The next one that reaches its load. NotMeasured when none is left, or one fails."""
        while self._left:
            ran = self._trials.run(self._left.pop(0))
            if ran is not None:
                return ran
        raise NotMeasured(
            f"{self._trials.invalid_loads} trials did not reach their load: the machine is too busy"
        )


def take_turns(hosts: Hosts, tell: Tell) -> list[Mapping[str, Ran]]:
    """Triples of the same trial: on the embedded lab, again, and over SSH, each triple in an order of its own."""
    asked = campaign()
    order = random.Random(_SEED)
    triples: list[Mapping[str, Ran]] = []
    with Trials(asked) as embedded, Trials(asked, str(hosts.inventory)) as ssh:
        same_qemu(embedded.pair, ssh.pair)
        here = Turns(embedded)
        turns = dict(zip(ARMS, (here, here, Turns(ssh)), strict=True))
        for lab in turns.values():  # the first trial on a lab measures its link
            lab.next()
        for number in range(TRIPLES):
            done_s = _PROVISION_S + number / TRIPLES * _TIMES_S
            tell(f"triple {number + 1} of {TRIPLES}", done_s / CLAIM.estimate_s)
            arms = list(ARMS)
            order.shuffle(arms)
            triples.append({arm: turns[arm].next() for arm in arms})
    return triples


def same_qemu(one: Pair, other: Pair) -> None:
    """NotMeasured when two pairs have other QEMUs: then more than the way to them differs."""
    versions = {
        (end.capabilities.qemu_version, end.capabilities.accelerator)
        for pair in (one, other)
        for end in (pair.a, pair.b)
    }
    if len(versions) != 1:
        raise NotMeasured(f"the QEMUs differ: {', '.join(map(str, sorted(versions)))}")


def rows(triples: Sequence[Mapping[str, Ran]], timing: TimingSpec) -> Iterator[Row]:
    """How much longer a trial takes over SSH than the mean of the two on the embedded lab, and one of these by the other."""
    walls = [{arm: ran.wall_s for arm, ran in triple.items()} for triple in triples]
    more = [w["ssh"] - (w["embedded"] + w["embedded_again"]) / 2 for w in walls]
    again = [w["embedded_again"] - w["embedded"] for w in walls]
    here, there = (median([w[arm] for w in walls]) for arm in ("embedded", "ssh"))
    overheads = [overhead_s(triple["ssh"], timing) for triple in triples]
    yield Row(
        "more", "time of a trial: over SSH less on the embedded lab, median of triples", median(more), "s",
        len(more), median_interval(more), Limit(most=MOST_MORE_S, of="interval"),
        note=f"{there:.2f} s and {here:.2f} s", points=walls,
    )  # fmt: skip
    yield Row(
        "aa", "A/A: one on the embedded lab less the other", median(again), "s", len(again), median_interval(again)
    )  # fmt: skip
    yield Row(
        "overhead", "overhead of a trial over SSH: wall less migration less baseline and settle, median",
        median(overheads), "s", len(overheads), median_interval(overheads), points=overheads,
    )  # fmt: skip


CLAIM = Claim(
    "ssh",
    f"""Two hosts as in `provisioning`. {TRIPLES} triples: a trial on the embedded lab, the same again, and over SSH, in random order; compared is the whole
    of it, from its start to its result on disk. It is a precopy of an idle guest of 256 MiB over 1 Gbit/s, which takes the link's time on either lab. Then trials that do not converge, as in `sampling`, and for each host the CPU time of both its
    agents: the one that samples, and the one that hears the beats. With {agents.QUIET} between the hosts the agents have all to do that they can have:
    100 samples a second of each kind, and every beat. With {agents.BUSY} the kernel moves the packets of both hosts and of the switch between
    them on the same cores, and charges much of that to whoever sends or wakes meanwhile, which a host of a rack does for nobody else: that is
    told, and held to nothing. (On a core of their own, the machines on the other one, the same agents took 2 to 6 % then.)""",
    estimate_s=_PROVISION_S + _TIMES_S + agents.ESTIMATE_S,
    measure=measure,
)
