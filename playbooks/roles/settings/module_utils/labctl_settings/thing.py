"""What every kind of thing has in common. Python 3.9, the standard library: this runs on a host of a lab."""

from __future__ import annotations

import subprocess
from typing import Any

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMMAND_TIMEOUT_S = 120

# An exception is named for what happened, as in labctl/errors.py.
# ruff: noqa: N818

State = Any
"""what a thing is like, as JSON keeps it; two equal states are the same"""


class Absent(Exception):
    """The host has no such thing, or it cannot be changed here. The text says why."""


class NotInstalled(Absent):
    """A program that looks at the thing is missing: it comes with a package."""


class Refused(Exception):
    """It must not be done, or it was done and is not in force. The text names the fault, and after `Mend: ` what to do."""


class Thing:
    """One thing of a host: `name` says which, `asked` what it shall be like; empty when it is only put back."""

    kind = ""

    def __init__(self, name: str, asked: dict[str, Any]) -> None:
        self.name = name
        self.asked = asked

    def now(self) -> State:
        """What it is like. :raise Absent: there is none."""
        raise NotImplementedError

    def wanted(self, before: State) -> State:
        """What it shall be like, where it was `before` when labctl came."""
        raise NotImplementedError

    def put(self, state: State) -> None:
        """Make it so. :raise Absent: it cannot be changed here. :raise Refused: it must not be."""
        raise NotImplementedError

    def changeable(self) -> None:
        """Looked at before a change, in check mode too. :raise Absent: it cannot be changed. :raise Refused: it must not be."""

    def said(self, state: State) -> str:
        """A state as a message has it."""
        return "absent" if state is None else str(state)


def run(*argv: str) -> str:
    """What a program prints. :raise Refused: it failed. :raise NotInstalled: it is not there."""
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
            env={"PATH": PATH, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise NotInstalled(f"{argv[0]} is not installed") from None
    if done.returncode != 0:
        raise Refused(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
