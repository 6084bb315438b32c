"""Ways into a lab: open it for a run, check it, clean it."""

import os
from dataclasses import dataclass
from typing import Any

from labctl.errors import LabctlError, LabError
from labctl.lab import waits
from labctl.lab.child import ChildChannel, ask_privilege
from labctl.lab.embedded import EmbeddedOpener
from labctl.lab.inventory import LabSpec, read_lab
from labctl.lab.lab import Lab
from labctl.lab.node import Node
from labctl.lab.probing import NO_QUESTIONS, Questions


def open_lab(
    lab: str,
    run: str,
    *,
    share: bool = False,
    lock: bool = True,
    questions: Questions = NO_QUESTIONS,
) -> Lab:
    """A lab for one run; enter it to open its nodes.

    Args:
        lab: a name under `inventory/`, or a path
        run: the run's name, known to the lock and to the live state on each host
        share: run beside another run instead of refusing
        lock: take each host's lock; asking questions alone needs none
        questions: which QEMUs beside the lab's own are used, and what each is asked

    Raises InputError for a wrong inventory, LabError when root cannot be had.
    """
    spec = read_lab(lab)
    _only_embedded(spec)
    ask_privilege()
    opener = EmbeddedOpener(spec, run, share, lock, questions)
    return Lab(spec.name, {"a-b": opener})


@dataclass(frozen=True)
class Finding:
    """One thing a check looked at."""

    what: str
    ok: bool
    detail: str
    mend: str | None = None


def check_lab(lab: str) -> list[Finding]:
    """Open a lab as a run would, without holding it, and say what works."""
    findings: list[Finding] = []
    try:
        with open_lab(lab, f"check-{os.getpid()}", lock=False) as opened:
            for pair in opened.pairs.values():
                for end in (pair.a, pair.b):
                    findings += _describe(end.host, end.probe)
            findings.append(Finding("link", True, "the hosts' link was made"))
    except LabctlError as error:
        where = f"{error.place}: " if error.place else ""
        findings.append(Finding("lab", False, f"{where}{error.fault}", error.mend))
    return findings


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
    if chosen != "kvm":
        findings.append(Finding(f"{host}: KVM", True, f"not used: {accelerators['kvm']['reason']}"))
    return findings


def clean_lab(lab: str) -> list[dict[str, Any]]:
    """Remove what dead runs left on a lab's hosts, and nothing else; says what that was."""
    spec = read_lab(lab)
    _only_embedded(spec)
    ask_privilege()
    node = Node("clean", ChildChannel("clean", "clean", own_network=False))
    try:
        removed: list[dict[str, Any]] = node.call("host.clean", wait_s=waits.HELLO_S)
        return removed
    finally:
        node.close()


def _only_embedded(spec: LabSpec) -> None:
    if not spec.embedded:
        raise LabError(
            "only the embedded lab can be reached by this version: one hypervisor with "
            "ansible_connection: local",
            place=str(spec.path),
            mend="use `lab: local`",
        )
