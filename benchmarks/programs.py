"""Programs of this package that run beside a measurement, as root, each a process of its own."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.claim import NotMeasured
from labctl.lab.child import privilege

ROOT = Path(__file__).parents[1]
_END_S = 20.0
_DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")


@contextmanager
def started(
    module: str, *arguments: str, prefix: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    """`python -m benchmarks.MODULE`, behind a prefix such as `nsenter`; it is ended when this is left."""
    command = [*privilege(), *prefix, *_DIE_WITH_US, sys.executable, "-m", f"benchmarks.{module}"]
    process = subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        yield process
    finally:
        # Closing stdin is what ends it, also where it is root's and we are not.
        with contextlib.suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            subprocess.run([*privilege(), "kill", "-KILL", str(process.pid)], check=False)
            process.wait(_END_S)


def answer(process: "subprocess.Popen[str]", said: str, timeout_s: float) -> Any:
    """Its last line, as JSON, after it was given `said` and the end of its stdin. NotMeasured with its own words otherwise."""
    try:
        out, errors = process.communicate(said, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"a program gave no answer within {timeout_s:g} s") from None
    lines = out.strip().splitlines()
    if process.returncode != 0 or not lines:
        raise NotMeasured(errors.strip().splitlines()[-1] if errors.strip() else "no answer")
    return json.loads(lines[-1])
