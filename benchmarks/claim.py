"""What a claim is: a name, how long it takes, and how it is measured."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.rows import Row

Tell = Callable[[str, float], None]
"""told what is done now, and which part of the claim is done: 0 to 1"""


class NotMeasured(Exception):  # noqa: N818 - named for what happened
    """A claim could not be measured; the text says why, and is what the table shows."""


@dataclass(frozen=True)
class Claim:
    """One claim. What `measure` starts it ends, however it is left.

    `measure` raises NotMeasured or a LabctlError.
    """

    name: str
    about: str
    """how it is measured, for the page"""
    estimate_s: float
    measure: Callable[[Tell], Iterable[Row]]

    @property
    def command(self) -> str:
        """What measures it."""
        return f"python -m benchmarks {self.name}"
