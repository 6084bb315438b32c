"""What a run leaves that was killed altogether is found and cleared, and nothing else is touched."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labctl.lab import clean_lab, open_lab
from labctl.node import procfs
from labctl.node.command_line import find_qemu
from tests.system.processes import VARIABLE, of_state_root, wait_until, wait_until_gone

pytestmark = [pytest.mark.root, pytest.mark.qemu, pytest.mark.slow]


@pytest.fixture
def foreign() -> Iterator[subprocess.Popen[bytes]]:
    """A QEMU that is not labctl's, and must survive."""
    with _idle_qemu() as process:
        yield process
        assert process.poll() is None
        process.kill()


def _idle_qemu() -> subprocess.Popen[bytes]:
    qemu = find_qemu("qemu-system-x86_64")
    options = [
        "-name",
        "guest=labctl-source",
        "-machine",
        "none",
        "-nodefaults",
        "-display",
        "none",
    ]
    # Without the state root: `of_state_root` must not take it for the run's.
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", qemu, *options], env=environment)


def identity(pid: int, what: str, *, start_time: int | None = None) -> dict[str, object]:
    return {"pid": pid, "start_time": start_time or procfs.start_time(pid), "what": what}


def pretend(root: Path, run: str, *entries: dict[str, object]) -> Path:
    """Live state of a run whose agents are dead."""
    folder = root / run
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps({"pids": list(entries)}))
    (folder / "a.log").write_text("left")
    return folder


def dead_agent() -> dict[str, object]:
    """The identity of a process that has ended."""
    process = subprocess.Popen(["true"])
    entry = identity(process.pid, "agent")
    process.wait()
    return entry


def test_what_a_run_left_that_was_killed_altogether(
    state_root: Path, foreign: subprocess.Popen[bytes]
) -> None:
    with open_lab("local", "killed") as lab:
        (pair,) = lab.pairs.values()
        machine = {
            "name": "source",
            "qemu": pair.a.capabilities.qemu_path,
            "machine_type": "none",
            "accelerator": "tcg",
        }
        pair.a.node.call("machine.start", machine=machine, timeout_s=10)
        mine = of_state_root(state_root)
        assert sum(process.is_agent for process in mine) == 3
        assert sum(process.is_qemu for process in mine) == 1
        # The agents first: QEMU must not outlive its agent by itself.
        for process in sorted(mine, key=lambda process: process.is_qemu):
            process.kill()
        wait_until_gone(state_root)
    assert (state_root / "killed").is_dir()
    (left,) = clean_lab("local")
    assert (left["run"], left["alive"]) == ("killed", [])
    assert not (state_root / "killed").exists()
    assert clean_lab("local") == []


def test_an_orphan_is_ended_and_a_pid_that_was_given_out_again_is_not(
    state_root: Path, foreign: subprocess.Popen[bytes]
) -> None:
    """A process is ours when pid and start time are."""
    with _idle_qemu() as orphan:
        wait_until(lambda: procfs.start_time(orphan.pid), "the orphan runs")
        other_time = procfs.start_time(foreign.pid) - 1
        folder = pretend(
            state_root,
            "dead",
            dead_agent(),
            identity(orphan.pid, "source"),
            identity(foreign.pid, "destination", start_time=other_time),
        )
        (left,) = clean_lab("local")
        assert [entry["pid"] for entry in left["alive"]] == [orphan.pid]
        assert orphan.wait(10) != 0
    assert not folder.exists()


def test_a_run_that_lives_is_left_alone(state_root: Path) -> None:
    with open_lab("local", "alive") as lab:
        before = of_state_root(state_root)
        dead = pretend(state_root, "dead", dead_agent())
        assert [left["run"] for left in clean_lab("local")] == ["dead"]
        assert not dead.exists()
        assert [process for process in before if not process.alive] == []
        assert not any(pair.lost for pair in lab.pairs.values())
        assert (state_root / "alive").is_dir()


def test_the_next_run_clears_what_a_dead_one_left(state_root: Path) -> None:
    dead = pretend(state_root, "dead", dead_agent())
    with open_lab("local", "next"):
        assert not dead.exists()
