"""journal.jsonl: what the controller did and when, one JSON object a line. A last line may be torn.

Whoever writes a run holds a lock on it.
"""

import fcntl
import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from labctl.errors import LabHeld
from labctl.results.files import give_to_caller

LOOKED_AT_S: Final = 0.2
"""for so long a lock may be somebody's who only looks whether there is one"""


def journal_line(event: str, data: Mapping[str, Any]) -> bytes:
    """The line of an event that happens now."""
    utc = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"utc": utc, "event": event, **data}, default=str).encode() + b"\n"


class JournalReader:
    """A journal that is read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new(self) -> list[dict[str, Any]]:
        """Every whole line since this was asked last; a last one that is still being written comes next time."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return _entries(whole)


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Every whole line of a journal; an empty list where there is none."""
    try:
        return _entries(path.read_bytes())
    except FileNotFoundError:
        return []


def _entries(data: bytes) -> list[dict[str, Any]]:
    entries = []
    for line in data.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def lock_journal(path: Path) -> int:
    """The descriptor of a run's journal, made if it is not there, locked until this process ends or closes it.

    Raises:
        LabHeld: another process has it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    if not _locked(descriptor):
        os.close(descriptor)
        opened = [entry for entry in read_journal(path) if "pid" in entry]
        who = f"process {opened[-1]['pid']} since {opened[-1]['utc']}" if opened else "a process"
        raise LabHeld(
            f"this run is being written by {who}",
            place=str(path.parent),
            mend="wait until it has ended, or end it",
        )
    give_to_caller(path)
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")  # the writer died within a line: the next one starts afresh
    return descriptor


def _locked(descriptor: int) -> bool:
    """Lock it, if no other process holds it: one that only looks whether it is written does so for a moment."""
    deadline = time.monotonic() + LOOKED_AT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOKED_AT_S / 10)
        else:
            return True


def is_written(path: Path) -> bool:
    """Whether a living process writes this journal, and with it the run."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
