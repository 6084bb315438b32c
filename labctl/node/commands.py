"""Commands of iproute2."""

from __future__ import annotations

import subprocess

from .patience import longer
from .protocol import RequestError

COMMAND_TIMEOUT_S = 10.0


def run(*argv: str) -> str:
    """Run a command of iproute2. :raise RequestError: ``command``, with what it printed."""
    timeout_s = longer(COMMAND_TIMEOUT_S)
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)
    except FileNotFoundError:
        raise RequestError(
            "command", f"{argv[0]} is not installed (mend: apt install iproute2)"
        ) from None
    except subprocess.TimeoutExpired:
        raise RequestError(
            "timeout", f"{' '.join(argv)} took longer than {timeout_s:g} s"
        ) from None
    if done.returncode != 0:
        raise RequestError("command", f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
