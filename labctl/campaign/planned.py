"""One trial as it is planned."""

from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict

Direction = Literal["forward", "reverse"]


class PlannedTrial(BaseModel):
    """One trial of a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    number: int
    """from 1, in the order trials run"""
    cell: str
    """the cell's name"""
    block: int
    """0: warm-up; 1 to the number of repetitions"""
    direction: Direction
    """reverse: the pair's second host is the source"""
    pair: str | None = None
    """the pair that it warms up; null: any pair may run it"""
    warmup: bool
    """run first, and left out of the results"""
    rule: str | None
    """the rule that makes it unsupported"""
    reason: str | None
    """the rule's reason"""
    estimate_s: float
    """how long it may take; 0 when it is not run"""

    @property
    def name(self) -> str:
        """Number and cell: the trial's directory."""
        return f"{self.number:04d}-{self.cell}"

    @property
    def supported(self) -> bool:
        """Whether it is run."""
        return self.rule is None

    def matches(self, pattern: str | None) -> bool:
        """Whether its cell or its name fits a pattern as a shell knows it; None is any."""
        return pattern is None or any(fnmatchcase(said, pattern) for said in (self.cell, self.name))
