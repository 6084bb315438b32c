"""`lab check`: open a lab as a run would, without holding it, and say what works. What fails is looked at host by host."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from labctl.campaign.models import LinkSpec
from labctl.errors import LabctlError
from labctl.lab import rdma_told, waits
from labctl.lab.clocks import compared
from labctl.lab.inventory import LabSpec, read_lab
from labctl.lab.opening import open_lab
from labctl.lab.pair import End, Pair
from labctl.lab.pairing import PairSpec
from labctl.lab.probing import DEFAULT_QEMU, NO_QUESTIONS
from labctl.lab.remote import RemoteOpener
from labctl.lab.ssh import RemoteHost, Sudo
from labctl.lab.together import do_together

CLOCKS_APART_S: Final = 0.5
"""hosts whose times of day differ by more are told: logs of theirs cannot be laid beside each other"""
PROGRAMS: Final = ("ip", "tc", "setpriv")
"""what an agent uses beside QEMU"""
LEAST_MEMLOCK_BYTES: Final = 1 << 30
LEAST_ROOM_BYTES: Final = 32 << 20
"""for QEMU's logs and the guest's image"""
_NONCE: Final = 1


@dataclass(frozen=True)
class Finding:
    """One thing a check looked at."""

    what: str
    ok: bool
    detail: str
    mend: str | None = None


def check_lab(lab: str) -> list[Finding]:
    """What works of a lab, and what does not, with its mend. InputError for a wrong inventory."""
    spec = read_lab(lab)
    if spec.embedded:
        return _check_embedded(lab)
    sudo = Sudo()
    checked = do_together(
        {pair.name: partial(_check_pair, spec, sudo, pair) for pair in spec.pairs}
    )
    return [finding for findings in checked for finding in findings]


def _check_embedded(lab: str) -> list[Finding]:
    findings: list[Finding] = []
    try:
        with open_lab(lab, _run_name(), lock=False) as opened:
            for pair in opened.pairs.values():
                for end in (pair.a, pair.b):
                    findings += _describe(end.host, end.probe)
            findings.append(Finding("link", True, "the hosts' link was made"))
    except LabctlError as error:
        findings.append(_failed("lab", error))
    return findings


def _check_pair(spec: LabSpec, sudo: Sudo, pair: PairSpec) -> list[Finding]:
    """A pair as a run would use it; when that cannot be had, each of its hosts by itself."""
    opener = RemoteOpener(spec, pair, _run_name(), False, False, NO_QUESTIONS, sudo)
    try:
        opened = opener()
    except LabctlError as error:
        hosts = [host for host in (pair.a, pair.b, pair.observer) if host is not None]
        alone = do_together({host: partial(_check_host, spec, sudo, host) for host in hosts})
        found = [finding for findings in alone for finding in findings]
        if not all(finding.ok for finding in found):
            return found
        return [*found, _failed(f"pair {pair.name}", error)]
    try:
        return [*_check_ends(opened), *_check_between(opened)]
    finally:
        opened.close()


def _check_host(spec: LabSpec, sudo: Sudo, name: str) -> list[Finding]:
    """A host as far as it goes: whether it is reached, and what it lacks."""
    host = RemoteHost(name, spec, _run_name(), sudo)
    try:
        host.open()
        found = [Finding(name, True, "reached, with Python and root")]
        node = host.start("host")
        try:
            wanted = [*PROGRAMS, str(spec.of(name).get("labctl_qemu", DEFAULT_QEMU))]
            lacking = node.call(
                "host.lacks",
                wait_s=waits.HELLO_S,
                programs=wanted if name in spec.hypervisors else [],
            )
        finally:
            node.close()
    except LabctlError as error:
        return [_failed(name, error)]
    finally:
        host.close()
    if lacking:
        mend = f"labctl lab provision {spec.asked}"
        found.append(Finding(f"{name}: programs", False, f"lacks {', '.join(lacking)}", mend))
    return found


def _check_ends(pair: Pair) -> Iterator[Finding]:
    for end in (pair.a, pair.b):
        link = end.probe["link"]
        carries = ", which carries SSH too" if link["carries_management"] else ""
        yield Finding(
            f"{end.host}: interface",
            True,
            f"{link['interface']} with {link['address']}, MTU {link['mtu']}{carries}",
        )
        yield from _describe(end.host, end.probe)


def _check_between(pair: Pair) -> Iterator[Finding]:
    """What two hosts have to do with each other: the link, the beats, clocks, QEMU."""
    yield _tried(f"{pair.name}: link", lambda: _link(pair))
    for direction, (_, destination) in ((way, pair.ends(way)) for way in ("forward", "reverse")):
        what = f"{pair.name}: beats to {_observer_of(pair, destination)}"
        yield _tried(what, partial(_beats, pair, direction))
        if pair.observer is not None:
            break
    yield _times_of_day(pair)
    yield _versions(pair)


def _observer_of(pair: Pair, destination: End) -> str:
    return pair.observer.name if pair.observer is not None else destination.host


def _link(pair: Pair) -> str:
    measured = pair.set_link(LinkSpec(bandwidth_bits_per_s=None, mtu=None)).measured
    rates = [f"{float(each['goodput_bits_per_s']) / 1e9:.3g}" for each in measured.values()]
    rtt_ms = max(float(each["rtt_idle_ms"]) for each in measured.values())
    return f"carries {' and '.join(rates)} Gbit/s there and back, round trip {rtt_ms:.2g} ms"


def _beats(pair: Pair, direction: str) -> str:
    watching = pair.watch(direction).begin(_NONCE)
    unsure_us = max(offset["uncertainty_ns"] for offset in watching.offsets.values()) / 1000
    return f"are stamped on its clock, right within {unsure_us:.0f} us"


def _times_of_day(pair: Pair) -> Finding:
    ahead = {end.host: compared(end.node) for end in (pair.a, pair.b)}
    (first, one), (second, other) = ahead.items()
    apart_s = abs(one.realtime_ns - other.realtime_ns) / 1e9
    return Finding(
        f"{pair.name}: time of day",
        apart_s <= CLOCKS_APART_S,
        f"{first} and {second} are {apart_s:.3g} s apart",
        "synchronise them: labctl lab provision does (role time_sync)",
    )


def _versions(pair: Pair) -> Finding:
    a, b = pair.a, pair.b
    versions = {end.host: end.capabilities.qemu_version for end in (a, b)}
    same = len(set(versions.values())) == 1
    said = ", ".join(f"{version} at {host}" for host, version in versions.items())
    return Finding(
        f"{pair.name}: QEMU",
        True,
        f"the same: {a.capabilities.qemu_version}"
        if same
        else f"{said}, with the same machine type {a.capabilities.machine_type}",
    )


def _tried(what: str, try_it: Any) -> Finding:
    try:
        return Finding(what, True, try_it())
    except LabctlError as error:
        return _failed(what, error)


def _failed(what: str, error: LabctlError) -> Finding:
    where = f"{error.place}: " if error.place and error.place != what else ""
    return Finding(what, False, f"{where}{error.fault}", error.mend)


def _run_name() -> str:
    return f"check-{os.getpid()}"


def _limits(host: str, described: Mapping[str, Any], *, needs_locking: bool) -> Iterator[Finding]:
    """What QEMU may lock (RDMA and zero-copy pin the guest's memory), and room for what a run keeps there."""
    limits, agent = described.get("limits", {}), described.get("agent", {})
    locked = limits.get("memlock_soft_bytes")
    raised = limits.get("memlock_can_be_raised")  # which is done for a QEMU that needs it
    if isinstance(locked, int) and locked < LEAST_MEMLOCK_BYTES and not raised:
        yield Finding(
            f"{host}: memlock",
            not needs_locking,
            f"{locked // 1024} KiB of memory may be locked: not enough for RDMA and zero-copy, which lock all that a guest has",
            "raise it: labctl lab provision does (role hypervisor)",
        )
    for what in ("state", "cache"):
        free = agent.get(f"{what}_free_bytes")
        if free is not None and free < LEAST_ROOM_BYTES:
            yield Finding(
                f"{host}: room",
                False,
                f"{free // 1024} KiB are left for the agent's {what}",
                "make room on that host's file system",
            )


def _describe(host: str, said: dict[str, Any]) -> list[Finding]:
    accelerators = said["accelerators"]
    chosen = accelerators["chosen"]
    first = accelerators[chosen]
    mib_per_s = first["write_bytes_per_s"] / 2**20
    findings = [
        Finding(
            f"{host}: QEMU", True, f"{said['version']} at {said['path']}, {said['machine_type']}"
        ),
        Finding(
            f"{host}: guest",
            True,
            f"beats {first['first_beat_ms']:.0f} ms after its start under {chosen}, "
            f"writes up to {mib_per_s:.0f} MiB/s",
        ),
        Finding(
            f"{host}: userfaultfd",
            bool(said["userfaultfd"]),
            "postcopy can be received" if said["userfaultfd"] else "postcopy cannot be received",
            None if said["userfaultfd"] else "sysctl vm.unprivileged_userfaultfd=1, or run as root",
        ),
    ]
    refused = said["netem_refused"]
    able = "the link can" if refused is None else f"the link cannot ({refused})"
    findings.append(Finding(f"{host}: netem", True, f"{able} be given a delay or a loss"))
    rdma = rdma_told.told(said)
    findings.append(Finding(f"{host}: RDMA", rdma.ok, rdma.detail, rdma.mend))
    findings += _limits(host, said["host"], needs_locking=said["rdma_port"] is not None)
    if chosen != "kvm":
        findings.append(Finding(f"{host}: KVM", True, f"not used: {accelerators['kvm']['reason']}"))
    return findings
