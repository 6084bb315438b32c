"""Commands of iproute2."""

from __future__ import annotations

import subprocess

from .protocol import RequestError

COMMAND_TIMEOUT_S = 10.0


def run(*argv: str) -> str:
    """Run a command of iproute2. :raise RequestError: ``command``, with what it printed."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        raise RequestError(
            "command", f"{argv[0]} is not installed (mend: apt install iproute2)"
        ) from None
    except subprocess.TimeoutExpired:
        raise RequestError(
            "timeout", f"{' '.join(argv)} took longer than {COMMAND_TIMEOUT_S} s"
        ) from None
    if done.returncode != 0:
        raise RequestError("command", f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
