"""What unit tests share."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labctl.controller import keeping
from labctl.controller import run as controller_run
from labctl.migration import trial
from tests.fakes import Session


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake machines need no rest, and what is stored in a test need not outlive a power cut."""
    monkeypatch.setattr(trial, "_LEAD_S", 0.0)
    monkeypatch.setattr(controller_run, "_JOIN_POLL_S", 0.01)
    monkeypatch.setattr(controller_run, "_STOP_GRACE_S", 0.3)
    monkeypatch.setattr(keeping, "OPENING_PAUSES_S", (0.01,) * 4)
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


@pytest.fixture
def session(tmp_path: Path, quick: None) -> Iterator[Session]:
    """At its end every channel that was opened must be closed."""
    threads = set(threading.enumerate())
    made = Session(tmp_path)
    yield made
    assert all(channel.closed for lab in made.labs for channel in lab.channels)
    assert set(threading.enumerate()) <= threads
