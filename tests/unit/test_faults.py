"""What Ansible, ssh, sudo and Python say of a host, in words that name the fault and the mend.

`tests/data/ansible-failures.json` holds what Ansible 2.19 reported of test hosts with each of the faults, as ansible-runner
passed it on; tests/system/test_provision_faults.py meets them again.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from labctl.faults import explain
from labctl.playbook import LONGEST_LINE, TaskEvent, task_event

CASES = json.loads((Path(__file__).parents[1] / "data" / "ansible-failures.json").read_text())


def event_of(res: dict[str, Any]) -> TaskEvent:
    kind = "runner_on_unreachable" if res.get("unreachable") else "runner_on_failed"
    data = {"host": "h1", "task": "Gathering Facts", "role": None, "res": res}
    event = task_event({"event": kind, "event_data": data})
    assert event is not None
    return event


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_what_was_captured_gets_its_mend(case: dict[str, Any]) -> None:
    assert explain(event_of(case["res"])) == (case["fault"], case["mend"])


@pytest.mark.parametrize(
    ("said", "mend"),
    [
        ("me is not in the sudoers file. This incident will be reported.", "let this user sudo"),
        ("Failed to update apt cache: unknown reason", "apt-get update"),
        ("Failed to lock apt for exclusive operation", "try again later"),
        ("E: dpkg was interrupted, you must run dpkg --configure", "dpkg --configure -a"),
        ("[Errno 28] No space left on device", "make room"),
        ("Unable to execute ssh command line on a controller", "openssh-client"),
        ("to use the 'ssh' connection type ... you must install the sshpass program", "sshpass"),
    ],
)
def test_what_is_clear_by_itself_keeps_its_words(said: str, mend: str) -> None:
    fault, found = explain(TaskEvent("h1", "Install", "packages", "failed", said))
    assert fault == f"packages: Install: {said}"
    assert mend in (found or "")


def test_a_roles_own_mend_comes_first() -> None:
    said = "Action failed: No space left on device. Mend: take another disk."
    event = TaskEvent("h1", "Check", "qemu", "failed", said)
    assert explain(event) == (
        "qemu: Check: No space left on device.",
        "take another disk.",
    )


def test_what_nobody_knows_is_passed_on() -> None:
    event = TaskEvent("h1", "Look", None, "failed", "Task failed: something else")
    assert explain(event) == ("Look: something else", None)
    event = TaskEvent(
        "h1", "Look", None, "unreachable", "Task failed: kex_exchange: Connection reset"
    )
    way = "check the way to it: ssh h1 true"
    assert explain(event) == ("kex_exchange: Connection reset", way)
    wrapped = (
        "Data could not be sent to remote host 'h1'. Make sure this host can be reached over SSH: "
    )
    event = TaskEvent("h1", "Look", None, "unreachable", f"{wrapped}[Errno 32] Broken pipe")
    assert explain(event) == ("[Errno 32] Broken pipe", way)


def test_a_long_message_is_kept_and_shown_short() -> None:
    event = event_of({"msg": "word " * 300})
    assert len(event.message) > 1000
    assert len(str(event)) < LONGEST_LINE + 100
