"""A check is data: what is looked at, why it matters, what to do when it is missing."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

ANSWER_TIMEOUT_S = 10.0  # how long a program may take to answer


class Missing(Exception):  # noqa: N818 - named for what was found out
    """Raised by a check's look when what it looks for is missing; says what was seen instead.

    `mend` replaces the check's own where what was seen asks for another one.
    """

    def __init__(self, detail: str, *, mend: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. `mend` is None when there is nothing to mend."""

    id: str
    ok: bool
    detail: str
    mend: str | None = None


class Check(Protocol):
    """Anything with these can be examined; it is not necessary to subclass it."""

    @property
    def id(self) -> str:
        """Short, stable, for scripts."""

    @property
    def what(self) -> str:
        """What is looked at, in a few words."""

    @property
    def reason(self) -> str:
        """Why labctl needs it."""

    @property
    def mend(self) -> str:
        """What to do when it is missing."""

    def look(self) -> str:
        """What is there, in a few words. Raises `Missing`."""


@dataclass(frozen=True, slots=True)
class Look:
    """A `Check` made of a function."""

    id: str
    what: str
    reason: str
    mend: str
    looking: Callable[[], str]

    def look(self) -> str:
        """What is there, in a few words. Raises `Missing`."""
        return self.looking()


def examine_with(checks: Iterable[Check]) -> list[Finding]:
    """One finding a check, in order."""
    return [_examine(check) for check in checks]


def _examine(check: Check) -> Finding:
    try:
        return Finding(check.id, True, check.look())
    except Missing as missing:
        return Finding(check.id, False, missing.detail, missing.mend or check.mend)
    except OSError as error:  # a file that cannot be read is an answer too
        return Finding(check.id, False, str(error), check.mend)


def program(name: str) -> str:
    """The path of a program, administrators' folders included. Raises `Missing`."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is None:
        raise Missing(f"{name} is not in PATH")
    return path


def ask(*command: str) -> str:
    """What a program prints. Raises `Missing` with its last words when it fails or does not answer."""
    try:
        done = subprocess.run(
            [program(command[0]), *command[1:]],
            capture_output=True,
            text=True,
            timeout=ANSWER_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise Missing(f"{command[0]} did not answer in {ANSWER_TIMEOUT_S:g} s") from None
    if done.returncode != 0:
        last = (
            done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}"
        ).splitlines()
        raise Missing(f"{command[0]}: {last[-1]}")
    return done.stdout.strip()


def root_prefix() -> list[str]:
    """What to put before a command that needs root. Raises `Missing` when root cannot be had silently."""
    if os.geteuid() == 0:
        return []
    try:
        ask("sudo", "-n", "true")
    except Missing as missing:
        raise Missing(
            f"cannot be tried without root ({missing.detail})",
            mend="`sudo -v`, then again (a run asks by itself); or run as root",
        ) from None
    return ["sudo", "-n"]
