"""One run of one playbook through ansible-runner, as a stream of what happened to each task.

Ansible runs in a thread, with its files in a temporary directory; the caller's thread gets the events, and
may leave at any time: that ends Ansible. Nothing here knows what the playbook is for.
"""

import json
import os
import queue
import signal
import sys
import tempfile
import threading
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["ok", "changed", "skipped", "failed", "unreachable"]
STATUS: Mapping[str, Status] = {
    "runner_on_ok": "ok",
    "runner_on_skipped": "skipped",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
}
LONGEST_MESSAGE = 600
POLL_S = 1  # how often a cancellation, the time-out and a dead thread are looked for


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One task that ended on one host. `message` is what Ansible says of a change or a failure, on one line."""

    host: str
    task: str
    role: str | None
    status: Status
    message: str = ""

    @property
    def title(self) -> str:
        """The task with its role, as it is printed."""
        return f"{self.role}: {self.task}" if self.role else self.task

    def __str__(self) -> str:
        said = f": {self.message}" if self.message else ""
        return f"{self.host}: {self.title}: {self.status}{said}"


@dataclass(slots=True)
class PlaybookRun:
    """What to run, and once it ran: ansible-runner's `status`, the `hosts` that took part, the `output`."""

    playbook: Path
    inventory: Path
    options: list[str]
    timeout_s: float
    become_password: str | None = None
    status: str = "unstarted"
    hosts: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)

    def events(self) -> Generator[TaskEvent]:
        """Run; yield each task as it ends. Closing the generator early ends Ansible."""
        import ansible_runner

        inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        cancelled = threading.Event()
        with tempfile.TemporaryDirectory(prefix="labctl-ansible-") as private:
            thread, runner = ansible_runner.run_async(
                private_data_dir=private,
                playbook=str(self.playbook),
                inventory=str(self.inventory),
                quiet=True,
                cmdline=" ".join(self.options),
                envvars=self._environment(Path(private) / "home"),
                settings={"job_timeout": max(1, round(self.timeout_s)), "pexpect_timeout": POLL_S},
                event_handler=inbox.put,
                cancel_callback=cancelled.is_set,
                finished_callback=lambda _: inbox.put(None),
            )
            try:
                while (event := _next(inbox, thread)) is not None:
                    if event["event"] == "playbook_on_stats":
                        self.hosts = sorted(event["event_data"]["processed"])
                    if line := event.get("stdout"):
                        self.output.append(line)
                    if (task := task_event(event)) is not None:
                        yield task
            finally:
                cancelled.set()
                thread.join()
                _end_workers(Path(private) / "home")
            self.status = str(runner.status)

    def _environment(self, home: Path) -> dict[str, str]:
        home.mkdir()
        programs = Path(sys.executable).parent  # ansible-playbook is beside this python
        environment = {
            "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin",
            "ANSIBLE_HOME": str(home),
            "ANSIBLE_LOCAL_TEMP": str(home / "tmp"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(home / "cp"),
            "ANSIBLE_RETRY_FILES_ENABLED": "false",
            "ANSIBLE_NOCOLOR": "true",
        }
        if self.become_password is not None:
            environment["ANSIBLE_BECOME_PASS"] = self.become_password
        return environment


def _next(
    inbox: queue.SimpleQueue[dict[str, Any] | None], thread: threading.Thread
) -> dict[str, Any] | None:
    """The next event, or None when there will be no more, be it because the thread died."""
    while True:
        try:
            return inbox.get(timeout=POLL_S)
        except queue.Empty:
            if not thread.is_alive() and inbox.empty():
                return None


def _end_workers(home: Path) -> None:
    """End what Ansible left running: its workers are sessions of their own, so that ending it by group misses them.

    They are known by the home that was made for this run alone. What runs as another user by now ends with its task.
    """
    wanted = f"ANSIBLE_HOME={home}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)


def task_event(event: Mapping[str, Any]) -> TaskEvent | None:
    """The `TaskEvent` that an event of ansible-runner means; None when no task ended with it."""
    status = STATUS.get(event["event"])
    data = event.get("event_data", {})
    if status is None or data.get("ignore_errors"):
        return None
    answer = data.get("res") or {}
    if status == "ok" and answer.get("changed"):
        status = "changed"
    message = ""
    if status in {"failed", "unreachable"}:
        message = _message(answer)
    elif status == "changed":
        message = " ".join(str(answer.get("msg", "")).split())[:LONGEST_MESSAGE]
    return TaskEvent(data["host"], data["task"], data.get("role"), status, message)


def _message(answer: Mapping[str, Any]) -> str:
    """The most telling of what a failed module gives back."""
    failed_items = [item for item in answer.get("results", ()) if item.get("failed")]
    source = failed_items[0] if failed_items else answer
    parts = [str(source[key]).strip() for key in ("msg", "stderr") if source.get(key)]
    said = " ".join(dict.fromkeys(parts)) or json.dumps(source)
    return " ".join(said.split())[:LONGEST_MESSAGE]
