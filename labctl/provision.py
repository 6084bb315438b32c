"""Labs are built by playbooks.

provision("local", on_task=print)     # playbooks/local.yml on inventory/local
provision("local", check=True).changed  # the same in Ansible's check mode: nothing is touched
unprovision("local")                  # what labctl's own roles installed, taken back
"""

import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from labctl.data import data_path
from labctl.errors import InputError, ProvisionError, WaitTimeout
from labctl.lab.inventory import find_inventory
from labctl.playbook import PlaybookRun, TaskEvent

DEFAULT_TIMEOUT_S = 1800.0
PLAYBOOK = "local.yml"
WAY_BACK = "unprovision.yml"
NOT_BEGUN = ("unstarted", "starting", "running")
"""what ansible-runner says of a run whose thread ended without an end of the run"""

# What Ansible says -> what to do about it; the first that is found in the message.
MENDS = (
    ("a password is required", "run as root, or let this user sudo without a password"),
    ("Missing sudo password", "run as root, or let this user sudo without a password"),
    ("Unable to execute ssh", "install openssh-client on this machine"),
    ("sudo: not found", "run as root, or install sudo"),
    ("Failed to update apt cache", "check the host's network and package sources: apt-get update"),
    ("Failed to fetch", "check the host's network and package sources: apt-get update"),
    ("No package matching", "check the host's package sources: apt-get update"),
    ("dpkg was interrupted", "on the host: dpkg --configure -a"),
    ("Failed to lock apt", "another package manager is at work on the host; try again later"),
    ("No space left on device", "make room on the host's disk"),
)


@dataclass(slots=True)
class ProvisionResult:
    """What a playbook did: the tasks that changed something (or would), and counts of task results."""

    changed: list[TaskEvent] = field(default_factory=list)
    ok: int = 0
    failed: int = 0
    hosts: list[str] = field(default_factory=list)


def provision(
    lab: str,
    *,
    check: bool = False,
    diff: bool = False,
    on_task: Callable[[TaskEvent], None] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    become_password: str | None = None,
) -> ProvisionResult:
    """Bring the hosts of a lab to what labctl needs. A second call changes nothing.

    `check` only finds out what would change; `diff` has Ansible work out the differences too. `on_task`
    is called in this thread. `become_password` is sudo's, for a user whom sudo asks.

    Raises:
        InputError: no such lab, or no host in it.
        ProvisionError: a task failed or a host was not reached; names host, task, message and mend.
        WaitTimeout: `timeout_s` passed ("provision"); Ansible was ended.
    """
    options = [flag for flag, asked in (("--check", check), ("--diff", diff)) if asked]
    return _play(PLAYBOOK, lab, options, on_task, timeout_s, become_password)


def unprovision(
    lab: str,
    *,
    check: bool = False,
    on_task: Callable[[TaskEvent], None] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    become_password: str | None = None,
) -> ProvisionResult:
    """The way back: remove what labctl's roles installed on the lab's hosts, and nothing else.

    Raises as `provision` does.
    """
    options = ["--check"] if check else []
    return _play(WAY_BACK, lab, options, on_task, timeout_s, become_password)


def _play(
    playbook: str,
    lab: str,
    options: list[str],
    on_task: Callable[[TaskEvent], None] | None,
    timeout_s: float,
    become_password: str | None,
) -> ProvisionResult:
    path, inventory = data_path(f"playbooks/{playbook}"), find_inventory(lab).resolve()
    run = PlaybookRun(path, inventory, options, timeout_s, become_password)
    result = ProvisionResult()
    failures: list[TaskEvent] = []
    with closing(run.events()) as events:
        for task in events:
            if on_task is not None:
                on_task(task)
            if task.status in {"failed", "unreachable"}:
                failures.append(task)
            else:
                result.ok += 1
            if task.status == "changed":
                result.changed.append(task)
    result.failed, result.hosts = len(failures), run.hosts
    _judge(run, failures, timeout_s)
    return result


def _judge(run: PlaybookRun, failures: list[TaskEvent], timeout_s: float) -> None:
    """Raise unless the playbook came to its end on at least one host."""
    if run.status == "timeout":
        raise WaitTimeout("provision", timeout_s, place=str(run.inventory))
    if failures and run.status != "successful":
        raise _failed(failures[0])
    if run.status in NOT_BEGUN and not run.output:
        raise ProvisionError(
            "ansible-playbook could not be started",
            place=f"{run.inventory}: {run.playbook.name}",
            mend=f"it should run: {Path(sys.executable).parent / 'ansible-playbook'} --version",
        )
    if run.status != "successful":
        tail = [line for line in run.output if line.strip()][-5:]
        raise ProvisionError(
            "\n".join(tail) or f"ansible-playbook ended: {run.status}",
            place=f"{run.inventory}: {run.playbook.name}",
            mend=f"ansible-playbook -vv -i {run.inventory} {run.playbook} shows more",
        )
    if not run.hosts:
        raise InputError(
            "no host in the groups hypervisors and observers",
            place=str(run.inventory),
            mend=f"see what Ansible reads there: ansible-inventory --list -i {run.inventory}",
        )


def _failed(task: TaskEvent) -> ProvisionError:
    """The error for a task that failed. A role's own message may end in `Mend: what to do`."""
    fault, _, own_mend = task.message.partition("Mend: ")
    mend = own_mend or next((mend for part, mend in MENDS if part in task.message), None)
    if mend is None and task.status == "unreachable":
        mend = f"check the way to it: ssh {task.host} true"
    return ProvisionError(f"{task.title}: {fault.strip()}", place=task.host, mend=mend)
