"""Claims: how long it takes to make hosts of a lab from empty ones, and what a run sends to each before its first trial."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.claim import Claim, Tell
from benchmarks.hosts import PAIR, Provisioned, connection_bytes, empty_hosts, provision_all
from benchmarks.lab import opened, pair_of
from benchmarks.rows import Row
from benchmarks.statistics import median
from labctl.campaign import Campaign
from labctl.campaign.loader import load_campaign
from labctl.data import data_path
from tests.hosts import Hosts

ROUNDS = 2
KIB = 1024
_ROUND_S = 65.0


@dataclass(frozen=True)
class Start:
    """What a run exchanged with one node until its pair was open."""

    first: bool
    """whether the agent had to be sent"""
    sent_bytes: int
    received_bytes: int
    agent_bytes: int
    """of the agent's file, as far as it was sent"""
    pair_s: float
    """how long the pair took to open"""


def measure(tell: Tell) -> Iterator[Row]:
    """Rounds, each with hosts of its own."""
    asked = load_campaign(data_path("campaigns/quickstart.yaml"))
    empty: list[Provisioned] = []
    again: list[Provisioned] = []
    starts: list[Start] = []
    for number in range(ROUNDS):
        with empty_hosts(PAIR) as hosts:
            tell(f"round {number + 1} of {ROUNDS}: empty hosts are provisioned", number / ROUNDS)
            empty.append(provision_all(hosts))
            tell(f"round {number + 1} of {ROUNDS}: once more", (number + 0.6) / ROUNDS)
            again.append(provision_all(hosts))
            tell(f"round {number + 1} of {ROUNDS}: a run begins", (number + 0.9) / ROUNDS)
            for _ in ("first", "again"):
                starts += begin(hosts, str(hosts.inventory), asked)
    yield from rows(empty, again, starts)


def begin(hosts: Hosts, lab_name: str, asked: Campaign) -> list[Start]:
    """Open a lab of one pair of hosts as a run of the campaign does, and close it again; what went to each of the two."""
    started = time.monotonic()
    with opened(asked, name=lab_name) as lab:
        pair_s = time.monotonic() - started
        pair = pair_of(lab)
        found = []
        for end in (pair.a, pair.b):
            sent, received = connection_bytes(hosts[end.host])
            agent = int(end.probe["agent_sent_bytes"])
            found.append(Start(agent > 0, sent, received, agent, pair_s))
        return found


def rows(
    empty: Sequence[Provisioned], again: Sequence[Provisioned], starts: Sequence[Start]
) -> Iterator[Row]:
    """Seconds until provisioned, the first time and again; what was sent to a node, with the agent and without."""
    for name, what, found in (
        (
            "empty",
            "two hosts side by side, from nothing but sshd, python3 and sudo to provisioned",
            empty,
        ),
        ("again", "the same hosts, provisioned once more", again),
    ):
        seconds = [done.seconds for done in found]
        changes = ", ".join(sorted({str(done.changes) for done in found}))
        yield Row(name, f"{what}, median", median(seconds), "s", len(seconds), note=f"changes: {changes}", points=seconds)  # fmt: skip
    for name, what, first in (
        ("sent-first", "the first time", True),
        ("sent-again", "when the agent is there already", False),
    ):
        of_kind = [start for start in starts if start.first is first]
        sent = [start.sent_bytes / KIB for start in of_kind]
        if not sent:
            yield Row(name, f"sent to a node until its pair is open, {what}", None, "KiB", 0)
            continue
        agent = median([start.agent_bytes / KIB for start in of_kind])
        received = median([start.received_bytes / KIB for start in of_kind])
        pair_s = median([start.pair_s for start in of_kind])
        of_it = f"{agent:.1f} KiB of it the agent; " if first else ""
        yield Row(
            name, f"sent to a node until its pair is open, {what}, median", median(sent), "KiB", len(sent),
            note=f"{of_it}{received:.1f} KiB came back; the pair was open in {pair_s:.1f} s", points=sent,
        )  # fmt: skip


CLAIM = Claim(
    "provisioning",
    f"""{ROUNDS} rounds with fresh hosts: Debian 12 as containers of this machine, which are up, their sshd answering, and have never been
    provisioned. The time is that of `labctl lab provision`: Ansible's own, and the packages' from the mirror that this machine uses. Then
    the lab is opened twice, as for a run of the quickstart campaign: QEMU is tried and asked, the guest's image sent each time, the
    agent once. The bytes are those of the host's one SSH connection by the kernel's count (`ss`): encrypted, with the login, without the headers of
    TCP.""",
    estimate_s=ROUNDS * _ROUND_S,
    measure=measure,
)
