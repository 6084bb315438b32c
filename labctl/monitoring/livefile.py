"""live.json: what runs right now, beside what the journal tells. Written some times a second while a run goes on, for whoever
watches it from another process; gone when it has ended.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from labctl.events import (
    AttemptInterrupted,
    Event,
    GuestSeen,
    Progress,
    RunEnded,
    RunStarted,
    StateEntered,
    TrialEnded,
    TrialStarted,
)
from labctl.results.files import give_to_caller
from labctl.results.layout import LIVE

PERIOD_S: Final = 0.25
POINTS: Final = 120
"""kept of each trial, for a curve: the last 24 s"""


@dataclass
class Now:
    """What is known of a trial under way."""

    phase: str = ""
    progress: Progress | None = None
    guest: GuestSeen | None = None
    work_bytes_per_s: deque[float] = field(default_factory=lambda: deque(maxlen=POINTS))
    remaining_bytes: deque[float] = field(default_factory=lambda: deque(maxlen=POINTS))


class LiveFile:
    """The observer that writes it. A file that cannot be written is let be: it is for watching only."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._now: dict[int, Now] = {}
        self._lock = threading.Lock()
        self._written_s = 0.0

    def handle(self, event: Event) -> None:
        """Take note of an event, and write what is known when that was not done for a while."""
        with self._lock, suppress(OSError):
            match event:
                case RunStarted():
                    self._path = event.directory / LIVE
                case TrialStarted():
                    self._now[event.number] = Now()
                case StateEntered() if event.number in self._now:
                    self._now[event.number].phase = event.state
                case Progress() if event.number in self._now:
                    now = self._now[event.number]
                    now.progress = event
                    now.remaining_bytes.append(event.remaining_bytes)
                case GuestSeen() if event.number in self._now:
                    now = self._now[event.number]
                    now.guest = event
                    now.work_bytes_per_s.append(event.work_bytes_per_s)
                case TrialEnded() | AttemptInterrupted():
                    self._now.pop(event.number, None)
                case RunEnded() if self._path is not None:
                    self._path.unlink(missing_ok=True)
                    self._path = None
                case _:
                    return
            if self._path is not None and time.monotonic() - self._written_s >= PERIOD_S:
                self._written_s = time.monotonic()
                self._write(self._path)

    def _write(self, path: Path) -> None:
        told = {"at_s": time.time(), "trials": {str(n): _told(now) for n, now in self._now.items()}}
        beside = path.with_name(f".{LIVE}.new")
        beside.write_text(json.dumps(told))
        give_to_caller(beside)
        beside.replace(path)


def read_live(directory: Path) -> dict[int, Now]:
    """What runs now, by trial's number; empty where nothing is told."""
    try:
        told = json.loads((directory / LIVE).read_text())
        return {int(number): _now(said) for number, said in told["trials"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _told(now: Now) -> dict[str, Any]:
    return {
        "phase": now.phase,
        "progress": asdict(now.progress) if now.progress else None,
        "guest": asdict(now.guest) if now.guest else None,
        "work_bytes_per_s": [*now.work_bytes_per_s],
        "remaining_bytes": [*now.remaining_bytes],
    }


def _now(said: Mapping[str, Any]) -> Now:
    now = Now(phase=str(said["phase"]))
    now.progress = Progress(**said["progress"]) if said["progress"] else None
    now.guest = GuestSeen(**said["guest"]) if said["guest"] else None
    now.work_bytes_per_s.extend(said["work_bytes_per_s"])
    now.remaining_bytes.extend(said["remaining_bytes"])
    return now
