"""A program that is started for us ends with us, however early we die."""

import subprocess
import sys
import time
from pathlib import Path

from labctl.node import procfs
from labctl.node.command_line import dying_with_us

ORPHAN = """
import os, sys, time
from labctl.node.command_line import dying_with_us
prefix, us = dying_with_us(), os.getpid()
if os.fork() == 0:
    while os.getppid() == us:
        time.sleep(0.001)
    os.execvp(prefix[0], [*prefix, "touch", sys.argv[1]])
os.kill(us, 9)
"""
"""Dies between starting a program and its asking for the death signal: it would not get it any more."""
PARENT = """
import subprocess
from labctl.node.command_line import dying_with_us
program = subprocess.Popen([*dying_with_us(), "sleep", "600"], stdout=subprocess.DEVNULL)
print(program.pid, flush=True)
program.wait()
"""
GONE_S = 10.0


def test_it_is_started_as_it_stands() -> None:
    said = subprocess.run(
        [*dying_with_us(), "printf", "%s|", "a b", "$HOME", ""],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (said.returncode, said.stdout) == (0, "a b|$HOME||")


def test_nothing_is_started_for_one_who_died_before(tmp_path: Path) -> None:
    marker = tmp_path / "started"
    # Its output ends when the orphan has too.
    orphan = [sys.executable, "-c", ORPHAN, str(marker)]
    done = subprocess.run(orphan, check=False, capture_output=True, text=True, timeout=60)
    assert not marker.exists()
    assert "not started: its parent is not process" in done.stderr


def test_it_is_killed_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as us:
        assert us.stdout is not None
        pid = int(us.stdout.readline())
        assert procfs.start_time(pid)
        us.kill()
    deadline = time.monotonic() + GONE_S
    while procfs.start_time(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
