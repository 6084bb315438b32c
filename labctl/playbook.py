"""One run of one playbook through ansible-runner, as a stream of what happened to each task.

Ansible runs in a thread, with its files in a temporary directory; the caller's thread gets the events, and
may leave at any time: that ends Ansible. Nothing here knows what the playbook is for.
"""

import json
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

from labctl.node import procfs

Status = Literal["ok", "changed", "skipped", "failed", "unreachable"]
STATUS: Mapping[str, Status] = {
    "runner_on_ok": "ok",
    "runner_on_skipped": "skipped",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
}
SAYING = ("ansible.builtin.debug", "debug")
"""modules by which a playbook says something"""
LONGEST_MESSAGE, LONGEST_LINE = 4000, 400
"""characters: that are kept of a message, and that a line shows"""
HOSTS_AT_ONCE = 16
POLL_S = 1  # how often a cancellation, the time-out and a dead thread are looked for
GONE_S = 5.0
"""how long what was killed may take to be gone: on a busy machine it is still there for a moment"""
GONE_POLL_S = 0.01
_PREFIX = "labctl-ansible-"
"""of the folder of a run; then its process, as `_this_process` says it"""


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One task that ended on one host.

    `message` is what Ansible says of a change or a failure, or what the playbook itself says, on one line; `diff` is what was
    changed (or would be), as Ansible shows it when it is asked to.
    """

    host: str
    task: str
    role: str | None
    status: Status
    message: str = ""
    diff: str = ""

    @property
    def title(self) -> str:
        """The task with its role, as it is printed."""
        return f"{self.role}: {self.task}" if self.role else self.task

    def __str__(self) -> str:
        said = f": {shorten(self.message, LONGEST_LINE)}" if self.message else ""
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
        with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{_this_process()}-") as private:
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
            diffs: dict[str, str] = {}
            try:
                while (event := _next(inbox, thread)) is not None:
                    if event["event"] == "playbook_on_stats":
                        self.hosts = sorted(event["event_data"]["processed"])
                    if line := event.get("stdout"):
                        self.output.append(line)
                    if event["event"] == "runner_on_file_diff":  # of the task whose end comes next
                        diffs[event["event_data"]["host"]] = str(event.get("stdout", "")).strip(
                            "\r\n"
                        )
                    elif (task := task_event(event, diffs)) is not None:
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
            # Where a module on this machine unpacks itself: what one that is killed leaves there goes with the rest.
            "TMPDIR": str(home),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(home / "cp"),
            "ANSIBLE_RETRY_FILES_ENABLED": "false",
            "ANSIBLE_NOCOLOR": "true",
            # Modules come over the connection itself: half the round trips. What still needs a file on the host puts it
            # where labctl's own cache is there, which `unprovision` removes.
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_REMOTE_TMP": "~/.cache/labctl/ansible",
            "ANSIBLE_FORKS": str(HOSTS_AT_ONCE),
            # What one play has found out of a host, the next need not ask.
            "ANSIBLE_GATHERING": "smart",
            # ansible-runner would switch it off.
            "ANSIBLE_HOST_KEY_CHECKING": os.environ.get("ANSIBLE_HOST_KEY_CHECKING", "true"),
        }
        if self.become_password is not None:
            environment["ANSIBLE_BECOME_PASS"] = self.become_password
        return environment


def clear_dead_runs() -> list[Path]:
    """End what is left of playbooks whose labctl has died, and remove their folders; says which those were."""
    cleared = []
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")):
        pid, _, rest = folder.name.removeprefix(_PREFIX).partition(".")
        started = rest.partition("-")[0]
        mine = folder.stat().st_uid == os.geteuid()
        if not (mine and pid.isdigit() and started.isdigit()):
            continue
        if procfs.start_time(int(pid)) != int(started):
            _end_workers(folder / "home")
            shutil.rmtree(folder, ignore_errors=True)
            cleared.append(folder)
    return cleared


def _this_process() -> str:
    """Us, as who cleans up after our death knows us: pid and start time."""
    return f"{os.getpid()}.{procfs.start_time(os.getpid())}"


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
    """End what Ansible left running, and wait until it is gone: its workers are sessions of their own, so that ending it by
    group misses them.
    """
    until_s = time.monotonic() + GONE_S
    while (left := list(_left(home))) and time.monotonic() < until_s:
        for process in left:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(GONE_POLL_S)


def _left(home: Path) -> Iterator[int]:
    """Processes of a run of Ansible that are not its own child: they are known by the home that was made for this run alone;
    ssh's connections, which stay for a minute, by their socket in it, as they write their title over their environment. What
    runs as another user by now ends with its task.
    """
    wanted, connection = f"ANSIBLE_HOME={home}".encode(), f"ssh: {home}/".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            ours = wanted in (entry / "environ").read_bytes().split(b"\0")
            if ours or (entry / "cmdline").read_bytes().startswith(connection):
                yield int(entry.name)


def task_event(event: Mapping[str, Any], diffs: dict[str, str] | None = None) -> TaskEvent | None:
    """The `TaskEvent` that an event of ansible-runner means; None when no task ended with it.

    `diffs` has what was shown of each host's task; that of this one is taken out.
    """
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
    elif status == "changed" or (status == "ok" and data.get("task_action") in SAYING):
        message = " ".join(str(answer.get("msg", "")).split())[:LONGEST_MESSAGE]
    diff = (diffs or {}).pop(data["host"], "")
    return TaskEvent(data["host"], data["task"], data.get("role"), status, message, diff)


def _message(answer: Mapping[str, Any]) -> str:
    """The most telling of what a failed module gives back."""
    # Of a loop, the item that failed; of the gathering of facts, the module that did.
    failed = [item for item in answer.get("results", ()) if item.get("failed")]
    failed += answer.get("failed_modules", {}).values()
    source = failed[0] if failed else answer
    telling = ("msg", "stderr", "module_stderr")
    parts = [str(source[key]).strip() for key in telling if source.get(key)]
    said = " ".join(dict.fromkeys(parts)) or json.dumps(source)
    return " ".join(said.split())[:LONGEST_MESSAGE]
