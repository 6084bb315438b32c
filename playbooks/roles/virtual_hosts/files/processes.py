"""Processes: to start, to know again, to end; a daemon that one of them becomes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMAND_S = 10.0
Entry = dict[str, Any]
"""``pid``, ``start_time``, ``what``: as labctl's agents write it in their live state, where `labctl lab clean` looks"""


class Fault(Exception):  # noqa: N818 - named for what it is
    """What went wrong, in words."""


def run(*command: str) -> str:
    """What a program prints. Fault when it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise Fault(f"{' '.join(command)}: took longer than {COMMAND_S:g} s") from None
    if done.returncode != 0:
        raise Fault(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def entry(pid: int, what: str) -> Entry:
    """A process, as it is known again."""
    return {"pid": pid, "start_time": _start_time(pid), "what": what}


def is_alive(known: Entry) -> bool:
    """Whether it is still there: it, and not another that was given its number."""
    started = _start_time(known["pid"])
    return started != 0 and started == known["start_time"]


def _start_time(pid: int) -> int:
    """In ticks since boot; 0: no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def become_daemon(log: Path, *keep: int) -> None:
    """Leave the terminal and the descriptors of who started us but those named; words go to a file."""
    if os.fork() != 0:
        os._exit(0)  # so that nobody has to wait for it
    os.setsid()
    os.chdir("/")
    os.umask(0o022)
    with Path(os.devnull).open("rb") as nothing, log.open("ab") as words:
        os.dup2(nothing.fileno(), 0)
        os.dup2(words.fileno(), 1)
        os.dup2(words.fileno(), 2)
    for path in list(Path("/proc/self/fd").iterdir()):
        if int(path.name) > sys.stderr.fileno() and int(path.name) not in keep:
            with contextlib.suppress(OSError):
                os.close(int(path.name))
