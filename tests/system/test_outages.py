"""What can go wrong beside QEMU: a guest that does not boot, a link that goes away, an address that refuses, a full disk.

Each ends in an outcome with a reason within its named time-out, and the next trial runs.
"""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from labctl import api
from labctl.campaign import expand
from labctl.errors import LabctlError
from labctl.events import Event, TrialEnded
from labctl.lab import End, Pair, open_lab
from labctl.lab.embedded import INTERFACE
from labctl.migration import RawTrial, TrialRun, algorithms, waits
from labctl.results.layout import UNFINISHED, trial_folders
from tests.system.bench import campaign, interposed, run_trial
from tests.system.conftest import assert_nothing_left
from tests.system.processes import VARIABLE, of_state_root, qemu_of, wait_until_gone

pytestmark = [pytest.mark.root, pytest.mark.qemu, pytest.mark.slow]

SLOW = {"link": {"bandwidth": "200Mbit/s"}, "limits": {"total_time": "2s"}}
"""The memory takes almost 3 s to cross."""
INTO_IT_S = 0.3


def assert_the_next_one_runs(pair: Pair) -> None:
    raw = run_trial(pair, campaign())
    assert raw.outcome == "completed", raw.reason


# --- a guest that never boots ---


def booted_with(pair: Pair, **changed: Any) -> RawTrial:
    """A trial whose machines are started with something else than it asked for."""

    def before(_end: End, do: str, parameters: dict[str, Any]) -> None:
        if do == "machine.start":
            parameters["machine"] = {**parameters["machine"], **changed}

    return run_trial(interposed(pair, before), campaign(), tries=1)


def test_a_guest_that_gives_up_says_why(pair: Pair) -> None:
    """At once, and not when the wait for its first beat is over."""
    started = time.monotonic()
    raw = booted_with(pair, append="nonce=1 ws=4096 rate=1 vcpus=99 beat_us=500")
    assert time.monotonic() - started < waits.BOOT_S / 2
    assert raw.outcome == "failed"
    assert raw.reason
    assert raw.reason.startswith("in boot: node a: the guest gave up: vcpus must be 1 to 0x20, not")
    assert_the_next_one_runs(pair)


def test_a_silent_guest_is_waited_for_by_name(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a guest: its firmware looks for one for ever."""
    monkeypatch.setattr(waits, "BOOT_S", 2.0)
    raw = booted_with(pair, kernel=None)
    assert (raw.outcome, raw.verdict) == ("failed", None)
    assert raw.reason == "in boot: node observer: the guest's first beat: not within 2 s"
    assert_the_next_one_runs(pair)


# --- a QEMU that dies before the migration ---


@pytest.mark.parametrize("state", ["boot", "baseline"])
@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_qemu_that_dies_early(pair: Pair, lab_root: Path, state: str, side: str) -> None:
    asked = campaign(timing={"baseline": "1s"})
    (cell,) = expand(asked)

    def kill() -> None:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                qemu_of(lab_root, side).kill()
            except ValueError:  # it is not there yet
                time.sleep(0.005)
            else:
                return

    def entered(name: str, _t_ns: int) -> None:
        if name == state:
            threading.Thread(target=kill).start()

    started = time.monotonic()
    trial = TrialRun(cell, asked.timing, pair, "forward", stop=threading.Event(), on_state=entered)
    raw = trial.run()
    assert time.monotonic() - started < waits.BOOT_S / 2
    assert raw.outcome == "failed"
    assert raw.reason
    assert "QEMU ended with status -9" in raw.reason
    node = pair.a.node.name if side == "source" else pair.b.node.name
    assert f"node {node}: " in raw.reason
    assert_the_next_one_runs(pair)


# --- a link that goes away ---


def set_link(end: End, to: str) -> None:
    """Take an end of the link down, or up, as somebody at its host would."""
    subprocess.run(
        ["nsenter", "-t", str(end.node.hello["pid"]), "-n", "ip", "link", "set", INTERFACE, to],
        check=True, timeout=10,
    )  # fmt: skip


def test_a_link_that_is_down_before_the_trial_is_brought_up(pair: Pair) -> None:
    pair.set_link(campaign().link)
    set_link(pair.b, "down")
    assert not pair.link_is_up()
    assert_the_next_one_runs(pair)


@pytest.mark.parametrize(
    ("algorithm", "state", "verdict"),
    [("precopy", "precopy", "on_source"), ("postcopy", "postcopy", "lost")],
)
def test_a_link_that_goes_away_in_a_migration(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, algorithm: str, state: str, verdict: str
) -> None:
    """TCP would wait for a quarter of an hour: the limits of the trial end it, and the reason is the link."""
    monkeypatch.setattr(algorithms, "_HARD_LIMIT_GRACE_S", 4.0)
    asked = campaign(
        algorithm=algorithm, guest={"working_set": "48MiB", "write_rate": "8MiB/s"}, **SLOW
    )
    (cell,) = expand(asked)

    def entered(name: str, _t_ns: int) -> None:
        if name == state:
            threading.Timer(INTO_IT_S, set_link, (pair.b, "down")).start()

    started = time.monotonic()
    trial = TrialRun(cell, asked.timing, pair, "forward", stop=threading.Event(), on_state=entered)
    raw = trial.run()
    assert time.monotonic() - started < 40
    assert (raw.outcome, raw.verdict) == ("failed", verdict), raw.reason
    assert raw.reason
    assert raw.reason.startswith("the link is down; ")
    assert_the_next_one_runs(pair)


# --- an address that refuses ---


@pytest.mark.parametrize(
    ("uri", "said"),
    [("tcp:192.0.2.2:1", "Connection refused"), ("tcp:198.51.100.1:1", "Network is unreachable")],
)
def test_an_address_that_cannot_be_reached(pair: Pair, uri: str, said: str) -> None:
    """QEMU takes a free port by itself, so that none is ever in use; but what listened there can be gone."""

    def before(_end: End, do: str, parameters: dict[str, Any]) -> None:
        if do == "schedule.run":
            (start,) = parameters["schedule"]["start"]
            start["arguments"] = {**start["arguments"], "uri": uri}

    raw = run_trial(interposed(pair, before), campaign(), tries=1)
    assert (raw.outcome, raw.verdict) == ("failed", "on_source"), raw.reason
    assert raw.reason
    assert said in raw.reason
    assert_the_next_one_runs(pair)


def test_a_port_in_use_is_refused_with_qemus_words(pair: Pair) -> None:
    """The destination is told to listen where the source's host's own port is taken."""
    taken: list[int] = []

    def before(end: End, do: str, parameters: dict[str, Any]) -> None:
        if do == "machine.qmp" and parameters["execute"] == "migrate-incoming":
            taken.append(end.node.call("link.serve", address=end.address)["port"])
            parameters["arguments"] = {"uri": f"tcp:{end.address}:{taken[0]}"}

    raw = run_trial(interposed(pair, before), campaign(), tries=1)
    assert raw.outcome == "failed"
    assert raw.reason
    assert raw.reason.startswith("in setup: node b: migrate-incoming: ")
    assert "Address already in use" in raw.reason
    assert_the_next_one_runs(pair)


# --- a full disk ---


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, and little of it."""
    folder.mkdir()
    where = ["-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    subprocess.run(["mount", *where], check=True, timeout=10)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=10)


def fill(folder: Path) -> Path:
    """Take all room there is."""
    path = folder / "ballast"
    room = os.statvfs(folder)
    path.write_bytes(b"x" * (room.f_bavail * room.f_bsize))
    return path


class FillsDisk:
    """An observer that takes all room when the first trial has ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ballast: Path | None = None

    def handle(self, event: Event) -> None:
        if isinstance(event, TrialEnded) and self.ballast is None:
            self.ballast = fill(self._folder)


def test_a_full_disk_ends_the_run_and_it_resumes_when_there_is_room(
    state_root: Path, tmp_path: Path
) -> None:
    """What cannot be stored is no result: the run says where and what to do, and leaves no half trial."""
    with small_disk(tmp_path / "disk") as disk:
        filling = FillsDisk(disk)
        result = api.run(campaign(repetitions=3), out=disk, observers=[filling])
        fault = result.summary.fault
        assert isinstance(fault, LabctlError)
        assert (result.exit_code, result.summary.left) == (1, 2)
        assert "No space left on device" in fault.fault
        assert str(disk) in (fault.place or "")
        assert "labctl run --resume" in (fault.mend or "")
        assert not [p for p in result.directory.rglob("*") if p.name.startswith(UNFINISHED)]
        assert len(list(trial_folders(result.directory))) == 1
        assert_nothing_left(state_root)
        assert filling.ballast
        filling.ballast.unlink()
        assert api.resume(result.directory).exit_code in {0, 1}, (
            "1: no valid load on a busy machine"
        )
        assert len(list(api.load_run(result.directory).trials())) == 3


def test_a_node_without_room_fails_its_trials_and_the_next_one_runs(state_root: Path) -> None:
    """The live state is what finds a machine after a crash: none is run that could not be noted."""
    with small_disk(state_root / "disk") as disk, pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(disk))
        disk.chmod(0o755)
        with open_lab("local", "full") as lab:
            (pair,) = lab.pairs.values()
            ballast = fill(disk)
            raw = run_trial(pair, campaign(), tries=1)
            assert raw.outcome == "failed"
            assert "No space left on device" in (raw.reason or "")
            assert not [process for process in of_state_root(disk) if process.is_qemu]
            ballast.unlink()
            assert_the_next_one_runs(pair)
        wait_until_gone(disk)
    (state_root / "disk").rmdir()
