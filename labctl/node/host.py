"""The host a node runs on: who we are, the host's lock, live state, and what dead runs left.

Live state is ``/run/labctl/<run>/<role>.json``: the pids of a node and of what it started, each with its start time, so
that a pid that was given out again is never mistaken for ours. Locks are flocks held by the agent: they die with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from . import interfaces, procfs
from .protocol import RequestError

STATE_ROOT = Path(os.environ.get("LABCTL_STATE_ROOT", "/run/labctl"))
OWNER_LOCK = "host.lock"
GUESTS_LOCK = "host.shared"
_LOOK_S = 1.0
_BARE_STATE_S = 60.0


class HostLock:
    """One run a host. Its owner has ``host.lock`` for itself; who came beside it, when that was allowed, has a share of
    ``host.shared``, so that a third run knows of it also when the owner has ended.
    """

    def __init__(self) -> None:
        self._held: list[int] = []

    def take(self, holder: dict[str, Any], share: bool) -> bool:
        """Take the lock; True when the host is shared with another run.

        :raise RequestError: ``held``, with who holds it since when, when `share` is not set.
        """
        _make_root()
        owner, guests = STATE_ROOT / OWNER_LOCK, STATE_ROOT / GUESTS_LOCK
        if self._lock(owner, fcntl.LOCK_EX, holder):
            if not _is_locked(guests):
                return False
            if share:
                return True
            self.release()
            raise RequestError("held", _describe_holder(_read_json(guests) or {}))
        if not share:
            raise RequestError("held", _describe_holder(_read_json(owner) or {}))
        # Somebody who only looks holds it for an instant.
        deadline = time.monotonic() + _LOOK_S
        while not self._lock(guests, fcntl.LOCK_SH, holder):
            if time.monotonic() > deadline:
                raise RequestError("timeout", f"{guests}: not to be had within {_LOOK_S:g} s")
            time.sleep(0.01)
        return True

    def release(self) -> None:
        """Give it back."""
        while self._held:
            os.close(self._held.pop())

    def _lock(self, path: Path, kind: int, holder: dict[str, Any]) -> bool:
        handle = os.open(str(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(holder).encode(), 0)
        self._held.append(handle)
        return True


def _is_locked(path: Path) -> bool:
    try:
        handle = os.open(str(path), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


class LiveState:
    """What this node has started, on disk for whoever has to clean up after it."""

    def __init__(self, run: str, role: str) -> None:
        _make_root()
        self.directory = STATE_ROOT / run
        self.directory.mkdir(mode=0o755, exist_ok=True)
        self._path = self.directory / f"{role}.json"
        self._children: dict[int, str] = {}
        self._interfaces: list[interfaces.Kept] = []
        self._save()

    def keep(self, kept: list[interfaces.Kept]) -> None:
        """Note what interfaces were like before."""
        self._interfaces = kept
        self._save()

    def add(self, pid: int, what: str) -> None:
        """Note a process that was started."""
        self._children[pid] = what
        self._save()

    def remove(self, pid: int) -> None:
        """Forget a process that has ended."""
        self._children.pop(pid, None)
        self._save()

    def close(self) -> None:
        """Forget this node; the last one of a run takes the directory along."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        if not list(self.directory.glob("*.json")):
            shutil.rmtree(str(self.directory), ignore_errors=True)

    def _save(self) -> None:
        pids = [_identity(os.getpid(), "agent")]
        pids += [_identity(pid, what) for pid, what in self._children.items()]
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps({"pids": pids, "interfaces": self._interfaces}))
        temporary.replace(self._path)


def leftovers() -> list[dict[str, Any]]:
    """What dead runs left on this host: ``{run, directory, alive: [{pid, what}], interfaces}``, one a run whose agents are
    all dead.
    """
    found = []
    for directory in sorted(STATE_ROOT.glob("*/")) if STATE_ROOT.is_dir() else []:
        states = [_read_json(path) or {} for path in directory.glob("*.json")]
        entries = [entry for state in states for entry in state.get("pids", [])]
        kept = [one for state in states for one in state.get("interfaces", [])]
        if not entries and time.time() - directory.stat().st_mtime < _BARE_STATE_S:
            continue  # an agent that has just begun has not written who it is yet
        alive = [entry for entry in entries if _is_alive(entry)]
        if not any(entry["what"] == "agent" for entry in alive):
            left = {"run": directory.name, "directory": str(directory), "alive": alive}
            found.append({**left, "interfaces": kept})
    return found


def clean() -> list[dict[str, Any]]:
    """End and remove what dead runs left, and nothing else; says what that was."""
    found = leftovers()
    for left in found:
        for entry in left["alive"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(entry["pid"], signal.SIGKILL)
        interfaces.restore(left["interfaces"])
        shutil.rmtree(left["directory"], ignore_errors=True)
    return found


def _make_root() -> None:
    try:
        STATE_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError("state", f"{STATE_ROOT} cannot be made: {error.strerror}") from None


def _describe_holder(holder: dict[str, Any]) -> str:
    if not holder:
        return "held by another run"
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(holder.get("since", 0)))
    return f"held by run {holder.get('run')} of user {holder.get('user')} (pid {holder.get('pid')}) since {since}"


def _identity(pid: int, what: str) -> dict[str, Any]:
    return {"pid": pid, "start_time": procfs.start_time(pid), "what": what}


def _is_alive(entry: dict[str, Any]) -> bool:
    started = procfs.start_time(entry["pid"])
    return started != 0 and started == entry["start_time"]


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
