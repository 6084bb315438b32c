"""One run a host, unless it is shared: who holds it is said, and a lock dies with its holder."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labctl import api
from labctl.campaign import dump_campaign
from labctl.errors import LabHeld
from labctl.lab import Node, open_lab
from labctl.lab.child import ChildChannel
from tests.system.bench import campaign
from tests.system.processes import of_state_root, wait_until_gone

pytestmark = [pytest.mark.root, pytest.mark.qemu, pytest.mark.slow]

HELD = r"held by run first of user (\S+) \(pid (\d+)\) since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"


@contextmanager
def holding(run: str, *, share: bool = False) -> Iterator[bool]:
    """Hold the host as a run does, by its observer alone; whether it is shared."""
    node = Node("observer", ChildChannel(run, "observer", own_network=False))
    try:
        said = node.call("hello", lock=True, share=share, user="somebody")
        yield bool(said["shared_host"])
    finally:
        node.close()


def agents(root: Path, run: str) -> list[int]:
    return [p.pid for p in of_state_root(root) if p.is_agent and run in p.argv]


def test_a_second_run_is_told_who_holds_the_host_and_since_when(
    state_root: Path, tmp_path: Path
) -> None:
    file = tmp_path / "second.yaml"
    file.write_text(dump_campaign(campaign(name="second")))
    out = tmp_path / "runs"
    with holding("first"):
        with pytest.raises(LabHeld) as refused:
            api.run(api.load_campaign(file), out=out)
        command = [sys.executable, "-m", "labctl", "run", str(file), "--out", str(out)]
        typed = subprocess.run(
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        holders = agents(state_root, "first")
    assert refused.value.exit_code == 3
    said = re.search(HELD, refused.value.fault)
    assert said, refused.value.fault
    assert int(said[2]) in holders
    assert "--share" in (refused.value.mend or "")
    assert typed.returncode == 3, typed.stdout + typed.stderr
    assert re.search(HELD, " ".join((typed.stdout + typed.stderr).split()))
    assert "Traceback" not in typed.stderr
    assert not list(out.glob("second-*")), "a run that was refused leaves no folder"


def test_a_shared_host_is_marked_and_kept_from_a_third_run(
    state_root: Path, tmp_path: Path
) -> None:
    with holding("first") as shared:
        assert shared is False
        result = api.run(campaign(name="beside"), out=tmp_path, share=True)
        assert result.exit_code in {0, 1}, "a busy machine may have no valid load"
        stored = api.load_run(result.directory)
        assert [trial.record.shared_host for trial in stored.trials()] == [True]
        assert stored.environment["pairs"]["a-b"]["shared_host"] is True
    with open_lab("local", "alone") as lab:
        assert [pair.shared_host for pair in lab.pairs.values()] == [False]


def test_who_came_beside_the_owner_holds_the_host_when_the_owner_has_ended(
    state_root: Path,
) -> None:
    with holding("first") as first:
        beside = holding("beside", share=True)
        assert (first, beside.__enter__()) == (False, True)
    with pytest.raises(LabHeld, match="held by run beside of user somebody"), holding("third"):
        pass
    with holding("fourth", share=True) as fourth:
        assert fourth is True
    beside.__exit__(None, None, None)
    with holding("fifth") as fifth:
        assert fifth is False


def test_the_lock_dies_with_its_agent(state_root: Path) -> None:
    with holding("first"):
        (holder,) = agents(state_root, "first")
        os.kill(holder, signal.SIGKILL)
        wait_until_gone(state_root)
        with holding("second") as shared:
            assert shared is False


def test_asking_a_lab_needs_no_lock(state_root: Path) -> None:
    with holding("first"):
        assert api.plan(campaign()).trials
