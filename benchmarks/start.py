"""Claim: `labctl --help` is there at once."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.claim import Claim, NotMeasured, Tell
from benchmarks.rows import Limit, Row
from benchmarks.statistics import median, median_interval

STARTS = 10
MOST_S = 0.3
_COMMAND = [sys.executable, "-m", "labctl", "--help"]


def measure(tell: Tell) -> Iterator[Row]:
    """A start that is not counted, then those that are."""
    walls, cpus = [], []
    for number in range(-1, STARTS):
        tell(f"start {max(number, 0) + 1} of {STARTS}", max(number, 0) / STARTS)
        wall_s, cpu_s = _start()
        if number >= 0:  # the first one may compile bytecode
            walls.append(wall_s)
            cpus.append(cpu_s)
    for name, what, values, limit in (
        ("wall", "`labctl --help`, median time", walls, Limit(most=MOST_S)),
        ("cpu", "`labctl --help`, median CPU time", cpus, None),
    ):
        yield Row(
            name, what, median(values), "s", STARTS, median_interval(values), limit, points=values
        )


def _start() -> tuple[float, float]:
    started = time.monotonic()
    process = subprocess.Popen(_COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _pid, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.wait()
        raise
    wall_s = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise NotMeasured(f"labctl --help ended with status {process.returncode}")
    return wall_s, usage.ru_utime + usage.ru_stime


CLAIM = Claim(
    "start",
    f"""`labctl --help` is started {STARTS} times after one start that is not counted, each a process of its own, from
    the interpreter's start to the process's end; limit {MOST_S} s.""",
    estimate_s=6,
    measure=measure,
)
