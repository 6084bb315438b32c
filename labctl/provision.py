"""Labs are built by playbooks.

provision("local", on_task=print)     # playbooks/local.yml on inventory/local
provision("rack")                     # playbooks/site.yml on inventory/rack
provision("rack", check=True).changed   # the same in Ansible's check mode: nothing is touched
unprovision("rack", limit="h1")       # what labctl's own roles did to one host, taken back
"""

import shlex
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from labctl.data import data_path
from labctl.errors import InputError, ProvisionError, WaitTimeout
from labctl.faults import explain
from labctl.lab.inventory import read_lab
from labctl.playbook import PlaybookRun, TaskEvent

DEFAULT_TIMEOUT_S = 1800.0
EMBEDDED, SITE, WAY_BACK = "local.yml", "site.yml", "unprovision.yml"
"""the playbooks: of the embedded lab, of every other, and back"""
NONE_LEFT = "leaves us with no hosts to target"
"""what Ansible says of a limit that fits no host"""
NOT_BEGUN = ("unstarted", "starting", "running")
"""what ansible-runner says of a run whose thread ended without an end of the run"""


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
    limit: str | None = None,
    on_task: Callable[[TaskEvent], None] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    become_password: str | None = None,
) -> ProvisionResult:
    """Bring the hosts of a lab to what labctl needs. A second call changes nothing.

    `check` only finds out what would change; with `diff` each change has what is different. `limit` names the hosts that are
    meant, as Ansible does. `on_task` is called in this thread. `become_password` is sudo's, for a user whom sudo asks.

    Raises:
        InputError: no such lab, or no host in it, or none that `limit` names.
        ProvisionError: a task failed or a host was not reached; names host, task, message and mend.
        WaitTimeout: `timeout_s` passed ("provision"); Ansible was ended.
    """
    spec = read_lab(lab)
    if not spec.embedded:
        assert spec.pairs  # or it is said what is wrong with them, before anything is touched
    playbook = EMBEDDED if spec.embedded else SITE
    options = _options(check=check, diff=diff, limit=limit)
    return play(playbook, spec.path, options, on_task, timeout_s, become_password)


def unprovision(
    lab: str,
    *,
    check: bool = False,
    diff: bool = False,
    limit: str | None = None,
    on_task: Callable[[TaskEvent], None] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    become_password: str | None = None,
) -> ProvisionResult:
    """The way back: take back what labctl's roles did to the lab's hosts, and nothing else.

    Arguments and errors are those of `provision`.
    """
    options = _options(check=check, diff=diff, limit=limit)
    return play(WAY_BACK, read_lab(lab).path, options, on_task, timeout_s, become_password)


def _options(*, check: bool, diff: bool, limit: str | None) -> list[str]:
    options = [flag for flag, asked in (("--check", check), ("--diff", diff)) if asked]
    return options if limit is None else [*options, f"--limit={shlex.quote(limit)}"]


def play(
    playbook: str,
    inventory: Path,
    options: list[str],
    on_task: Callable[[TaskEvent], None] | None,
    timeout_s: float,
    become_password: str | None,
) -> ProvisionResult:
    """One of labctl's own playbooks, on an inventory. Errors are those of `provision`."""
    path = data_path(f"playbooks/{playbook}")
    run = PlaybookRun(path, inventory.resolve(), options, timeout_s, become_password)
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
        raise _failed(failures)
    if run.status in NOT_BEGUN and not run.output:
        raise ProvisionError(
            "ansible-playbook could not be started",
            place=f"{run.inventory}: {run.playbook.name}",
            mend=f"it should run: {Path(sys.executable).parent / 'ansible-playbook'} --version",
        )
    if any(NONE_LEFT in line for line in run.output):
        raise InputError(
            "the lab has no such host",
            place=" ".join(run.options),
            mend=f"see which there are: ansible-inventory --graph -i {run.inventory}",
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


def _failed(failures: list[TaskEvent]) -> ProvisionError:
    """One error for the first failure of each host."""
    firsts = {task.host: task for task in reversed(failures)}
    errors = [_error(task) for task in failures if firsts[task.host] is task]
    if len(errors) == 1:
        return errors[0]
    said = "\n".join(str(error) for error in errors)
    return ProvisionError(f"{len(errors)} hosts failed\n{said}")


def _error(task: TaskEvent) -> ProvisionError:
    fault, mend = explain(task)
    return ProvisionError(fault, place=task.host, mend=mend)
