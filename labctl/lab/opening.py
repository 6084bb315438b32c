"""Ways into a lab: open it for a run, clean it."""

from functools import partial
from typing import Any

from labctl.lab import waits
from labctl.lab.child import ChildChannel, ask_privilege
from labctl.lab.embedded import EmbeddedOpener
from labctl.lab.inventory import LabSpec, read_lab
from labctl.lab.lab import Lab
from labctl.lab.node import Node
from labctl.lab.probing import NO_QUESTIONS, Questions
from labctl.lab.remote import RemoteOpener
from labctl.lab.ssh import RemoteHost, Sudo
from labctl.lab.together import do_together


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
    if spec.embedded:
        ask_privilege()
        opener = EmbeddedOpener(spec, run, share, lock, questions)
        return Lab(spec.name, {"a-b": opener}, spec.anywhere)
    sudo = Sudo()
    openers = {
        pair.name: RemoteOpener(spec, pair, run, share, lock, questions, sudo)
        for pair in spec.pairs
    }
    return Lab(spec.name, openers, spec.anywhere)


def clean_lab(lab: str) -> list[dict[str, Any]]:
    """Remove what dead runs left on a lab's hosts, and nothing else; says what that was, and on which host."""
    spec = read_lab(lab)
    if spec.embedded:
        ask_privilege()
        channel = ChildChannel("clean", "clean", own_network=False, patience=spec.patience)
        return _clean(Node("clean", channel, spec.patience))
    sudo = Sudo()
    cleaned = do_together({name: partial(_clean_host, spec, sudo, name) for name in spec.hosts})
    return [{"host": host, **left} for host, found in cleaned for left in found]


def _clean_host(spec: LabSpec, sudo: Sudo, name: str) -> tuple[str, list[dict[str, Any]]]:
    host = RemoteHost(name, spec, "clean", sudo)
    try:
        host.open()
        return name, _clean(host.start("host"))
    finally:
        host.close()


def _clean(node: Node) -> list[dict[str, Any]]:
    try:
        removed: list[dict[str, Any]] = node.call("host.clean", wait_s=waits.HELLO_S)
        return removed
    finally:
        node.close()
