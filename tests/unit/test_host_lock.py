"""A host's lock between real processes, and what dead runs leave: theirs is ended, and nothing else."""

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from labctl.node import host, procfs
from labctl.node.protocol import RequestError

HOLDER = {"run": "tonight", "pid": 77, "since": 0.0, "user": "kim"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABCTL_STATE_ROOT", str(tmp_path))
    monkeypatch.setattr(host, "STATE_ROOT", tmp_path)
    return tmp_path


class Process:
    """Another process on this host, which does something and then waits until it is let go."""

    def __init__(self, what: str) -> None:
        code = "import sys\nfrom labctl.node import host\n" + textwrap.dedent(what)
        code += "\nprint('ready', flush=True)\nsys.stdin.read()\n"
        self.popen = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.popen.stdout is not None
        self.said = self.popen.stdout.readline().strip()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.communicate()

    def __enter__(self) -> Self:
        assert self.said == "ready"
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()


def taker(*, share: bool = False, run: str = "tonight") -> str:
    holder = {**HOLDER, "run": run}
    return f"lock = host.HostLock()\nlock.take({holder!r}, {share!r})"


def test_a_second_run_is_refused_and_told_who_holds_it_since_when(root: Path) -> None:
    mine = host.HostLock()
    with Process(taker()):
        with pytest.raises(RequestError) as raised:
            mine.take({"run": "mine"}, share=False)
        assert raised.value.code == "held"
        assert raised.value.message == (
            "held by run tonight of user kim (pid 77) since 1970-01-01 00:00:00 UTC"
        )
    assert mine.take({"run": "mine"}, share=False) is False, "the lock died with its process"
    mine.release()


def test_a_run_that_may_share_is_let_in_and_told(root: Path) -> None:
    mine = host.HostLock()
    with Process(taker()):
        assert mine.take({"run": "mine"}, share=True) is True
    mine.release()
    assert mine.take({"run": "mine"}, share=True) is False, "there is nobody to share with"
    mine.release()


def test_a_run_beside_the_owner_is_known_when_the_owner_has_ended(root: Path) -> None:
    """Else a third run would believe itself alone."""
    mine = host.HostLock()
    with Process(taker()) as owner, Process(taker(share=True, run="beside")):
        owner.kill()
        with pytest.raises(RequestError, match="held by run beside"):
            mine.take({"run": "mine"}, share=False)
        assert mine.take({"run": "mine"}, share=True) is True
        mine.release()
        with Process(taker(share=True, run="more")), pytest.raises(RequestError):
            mine.take({"run": "mine"}, share=False)
    assert mine.take({"run": "mine"}, share=False) is False
    mine.release()


def test_who_is_refused_holds_nothing(root: Path) -> None:
    mine, other = host.HostLock(), host.HostLock()
    with Process(taker()) as owner, Process(taker(share=True)) as guest:
        with pytest.raises(RequestError):
            mine.take({"run": "mine"}, share=False)
        owner.kill()
        with pytest.raises(RequestError):
            mine.take({"run": "mine"}, share=False)
        guest.kill()
        assert other.take({"run": "other"}, share=False) is False
        other.release()


def test_a_damaged_lock_file_still_locks(root: Path) -> None:
    with Process(taker()):
        (root / host.OWNER_LOCK).write_text("{")
        with pytest.raises(RequestError, match="held by another run"):
            host.HostLock().take({"run": "mine"}, share=False)


def test_a_state_root_that_cannot_be_made_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(host, "STATE_ROOT", tmp_path / "file" / "labctl")
    with pytest.raises(RequestError, match="cannot be made"):
        host.HostLock().take({"run": "mine"}, share=False)


# --- live state, and what is left of it ---


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that would be taken for a machine."""
    popen = subprocess.Popen(["sleep", "600"])
    yield popen
    popen.kill()
    popen.wait()


def record(root: Path, run: str, role: str, *entries: dict[str, Any]) -> Path:
    """Live state as an agent writes it."""
    (root / run).mkdir(exist_ok=True)
    path = root / run / f"{role}.json"
    path.write_text(json.dumps({"pids": list(entries)}))
    return path


def entry(pid: int, what: str, start_time: int | None = None) -> dict[str, Any]:
    started = procfs.start_time(pid) if start_time is None else start_time
    return {"pid": pid, "start_time": started, "what": what}


DEAD = {"pid": 2**22 - 1, "start_time": 1, "what": "agent"}


def test_live_state_says_what_was_started_and_goes_with_the_last_role(root: Path) -> None:
    a, b = host.LiveState("run", "a"), host.LiveState("run", "b")
    a.add(os.getpid(), "source")
    said = json.loads((root / "run" / "a.json").read_text())["pids"]
    assert said == [entry(os.getpid(), "agent"), entry(os.getpid(), "source")]
    a.remove(os.getpid())
    assert len(json.loads((root / "run" / "a.json").read_text())["pids"]) == 1
    a.close()
    assert [path.name for path in (root / "run").iterdir()] == ["b.json"]
    b.close()
    assert list(root.iterdir()) == []
    b.close()


def test_a_living_run_is_no_leftover(root: Path, sleeper: subprocess.Popen[bytes]) -> None:
    with Process("state = host.LiveState('run', 'a')"):
        record(root, "run", "b", DEAD, entry(sleeper.pid, "source"))
        assert host.leftovers() == []
        assert host.clean() == []
    assert sleeper.poll() is None
    assert (root / "run").exists()


def test_what_a_dead_run_left_is_ended_and_removed(
    root: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    with Process("state = host.LiveState('run', 'a')") as agent:
        record(root, "run", "b", DEAD, entry(sleeper.pid, "source"))
        (root / "run" / "source.log").touch()
        agent.kill()
        (left,) = host.clean()
    assert (left["run"], [e["what"] for e in left["alive"]]) == ("run", ["source"])
    assert sleeper.wait(10) == -9
    assert not (root / "run").exists()
    assert host.clean() == []


def test_a_pid_that_was_given_out_again_is_not_ours(
    root: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    started = procfs.start_time(sleeper.pid)
    assert started > 0
    record(root, "run", "a", DEAD, entry(sleeper.pid, "source", start_time=started - 1))
    (left,) = host.clean()
    assert left["alive"] == []
    assert sleeper.poll() is None
    assert not (root / "run").exists()


def test_an_agent_that_has_just_begun_is_left_alone(root: Path) -> None:
    """Its folder is there a moment before it has written who it is."""
    fresh, stale = root / "fresh", root / "stale"
    fresh.mkdir()
    stale.mkdir()
    past = time.time() - 3600
    os.utime(stale, (past, past))
    assert [left["run"] for left in host.clean()] == ["stale"]
    assert fresh.exists()


def test_damaged_state_is_a_leftover(root: Path) -> None:
    (root / "run").mkdir()
    (root / "run" / "a.json").write_text("{")
    past = time.time() - 3600
    os.utime(root / "run", (past, past))
    assert [left["run"] for left in host.clean()] == ["run"]


def test_no_state_root_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "STATE_ROOT", tmp_path / "never")
    assert host.leftovers() == []


def test_a_process_that_is_gone_has_no_start_time() -> None:
    popen = subprocess.Popen(["true"])
    popen.wait()
    assert procfs.start_time(popen.pid) == 0
    assert procfs.start_time(os.getpid()) > 0
