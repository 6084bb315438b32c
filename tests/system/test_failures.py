"""A QEMU that is killed during a migration: the trial ends with a reason and a verdict, and the next one runs."""

import threading
import time
from pathlib import Path

import pytest

from labctl.campaign import expand
from labctl.lab import Pair
from labctl.migration import RawTrial, TrialRun, waits
from tests.system.bench import campaign, run_trial
from tests.system.processes import qemu_of

pytestmark = [pytest.mark.root, pytest.mark.qemu, pytest.mark.slow]

INTO_IT_S = 0.4
SLOW = {"link": {"bandwidth": "200Mbit/s"}}
"""The memory takes almost 3 s to cross."""


def killed(pair: Pair, root: Path, algorithm: str, state: str, side: str) -> RawTrial:
    """A trial of which one QEMU is killed a moment after a state was entered."""
    asked = campaign(algorithm=algorithm, **SLOW)
    (cell,) = expand(asked)
    moments: list[float] = []

    def kill() -> None:
        qemu_of(root, side).kill()
        moments.append(time.monotonic())

    def entered(name: str, _t_ns: int) -> None:
        if name == state:
            threading.Timer(INTO_IT_S, kill).start()

    trial = TrialRun(cell, asked.timing, pair, "forward", stop=threading.Event(), on_state=entered)
    raw = trial.run()
    (moment,) = moments
    # It is told at once; the longest wait there is then is for beats on the other side.
    assert time.monotonic() - moment < waits.RESUME_S + asked.timing.settle_s + 5
    assert state in raw.times_ns
    assert raw.outcome == "failed"
    assert "labctl itself" not in (raw.reason or "")
    return raw


def test_the_source_is_killed_in_precopy(pair: Pair, lab_root: Path) -> None:
    raw = killed(pair, lab_root, "precopy", "precopy", "source")
    assert raw.verdict == "lost"
    assert raw.reason
    assert raw.reason.startswith("the source's QEMU ended; the machine beats nowhere")
    assert raw.qemu["source"]["died_with_status"] == -9
    assert run_trial(pair, campaign()).outcome == "completed"


def test_the_destination_is_killed_in_precopy(pair: Pair, lab_root: Path) -> None:
    raw = killed(pair, lab_root, "precopy", "precopy", "destination")
    assert raw.verdict == "on_source"
    assert raw.reason
    assert raw.reason.startswith("QEMU says failed; the machine runs on the source")
    assert raw.qemu["destination"]["died_with_status"] == -9
    assert run_trial(pair, campaign()).outcome == "completed"


def test_the_destination_is_killed_in_postcopy(pair: Pair, lab_root: Path) -> None:
    """The machine's state was there alone: nothing is left to take up, whatever the source says."""
    raw = killed(pair, lab_root, "postcopy", "postcopy", "destination")
    assert raw.verdict == "lost"
    assert raw.reason
    assert raw.reason.startswith("the destination's QEMU ended, and with it a part of the machine")
    assert run_trial(pair, campaign()).outcome == "completed"


def test_the_source_is_killed_in_postcopy(pair: Pair, lab_root: Path) -> None:
    """The destination waits for pages that nobody has."""
    raw = killed(pair, lab_root, "postcopy", "postcopy", "source")
    assert raw.verdict == "lost"
    assert raw.reason
    assert raw.reason.startswith("the source's QEMU ended, and with it a part of the machine")
    assert run_trial(pair, campaign()).outcome == "completed"
