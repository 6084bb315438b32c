"""Says on stderr what is measured now and how long it will take; on a terminal one line that is written anew."""

import sys
import time
from collections.abc import Sequence
from typing import TextIO

from benchmarks.claim import Claim

_LINE_EVERY_S = 20.0
"""where there is no terminal"""


class Progress:
    """The progress over some claims."""

    def __init__(self, claims: Sequence[Claim], out: TextIO = sys.stderr) -> None:
        self._claims = list(claims)
        self._out = out
        self._live = out.isatty()
        self._at = -1
        self._told = 0.0

    def begin(self, claim: Claim) -> None:
        """A claim begins."""
        self._at = self._claims.index(claim)
        self._told = time.monotonic()
        self._write(f"{self._head()} begins, {left(self.left_s(0.0))} left")

    def tell(self, what: str, done: float) -> None:
        """What is done now, and which part of the claim is done."""
        now = time.monotonic()
        if self._live or now - self._told >= _LINE_EVERY_S:
            self._told = now
            self._write(f"{self._head()}: {what}, {left(self.left_s(done))} left")

    def end(self, said: str) -> None:
        """The claim is over."""
        self._write(f"{self._head()}: {said}", last=True)

    def left_s(self, done: float) -> float:
        """By the estimates: what is left of this claim, and those that follow."""
        rest = sum(claim.estimate_s for claim in self._claims[self._at + 1 :])
        return (1 - done) * self._claims[self._at].estimate_s + rest

    def _head(self) -> str:
        return f"[{self._at + 1}/{len(self._claims)}] {self._claims[self._at].name}"

    def _write(self, text: str, *, last: bool = False) -> None:
        if self._live:
            self._out.write(f"\r\x1b[K{text}" + ("\n" if last else ""))
        else:
            self._out.write(text + "\n")
        self._out.flush()


def left(seconds: float) -> str:
    """About so long, in words."""
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"
