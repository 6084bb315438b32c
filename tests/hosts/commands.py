"""Programs that make hosts: run with a time-out, and quoted with what they said when they fail."""

import shlex
import subprocess
from collections.abc import Sequence

_WITHIN_S = 30.0


class HostsError(RuntimeError):
    """Hosts could not be made, or did not do what they were told."""


def run(
    *command: str, said: str | None = None, within_s: float = _WITHIN_S, check: bool = True
) -> str:
    """Run a program, `said` on its stdin; what it printed. HostsError, with what it said, when it failed."""
    done = completed(command, said, within_s)
    if check and done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise HostsError(f"{_quoted(command)}: exit status {done.returncode}: {words}")
    return done.stdout


def completed(
    command: Sequence[str], said: str | None, within_s: float
) -> "subprocess.CompletedProcess[str]":
    """How a program ended, however that was. HostsError when it did not within the time."""
    try:
        return subprocess.run(
            command,
            input=said,
            stdin=subprocess.DEVNULL if said is None else None,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HostsError(f"{_quoted(command)}: not done within {within_s:g} s") from None


def _quoted(command: Sequence[str]) -> str:
    return shlex.join(command)[:300]
