"""What verbs that play playbooks have in common: what they show, and what they ask of a person."""

import getpass
import os
import subprocess
import sys
from textwrap import indent
from typing import TYPE_CHECKING

from labctl.cli.console import err

if TYPE_CHECKING:
    from labctl.playbook import TaskEvent


def told(task: "TaskEvent") -> None:
    """One line for a task that ended; those that had nothing to do are passed over."""
    if task.status != "skipped":
        err().print(f"  {task}", style="dim" if task.status == "ok" else "bold", soft_wrap=True)


def shown(task: "TaskEvent") -> None:
    """The same, with what the task made different."""
    told(task)
    if task.diff:
        err().print(indent(task.diff, "    "), soft_wrap=True)


def sudo_password() -> str | None:
    """The password that sudo wants for a playbook's tasks on this machine; None where it wants none.

    Ansible runs on a terminal of its own, so that sudo's memory of an answer given here would not
    reach it. What sudo wants on other hosts turns out there.
    """
    if os.geteuid() == 0 or not sys.stdin.isatty():
        return None
    try:
        asks = subprocess.run(["sudo", "-k", "-n", "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return None  # Ansible says it, with the mend
    if asks.returncode == 0:
        return None
    return getpass.getpass(f"[sudo] password for {getpass.getuser()}: ")
