"""How a run ended, and the exit status that tells it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from labctl.errors import LabctlError

BAD: Final = ("failed", "invalid_load")
"""outcomes that are no result"""


@dataclass
class Summary:
    """How a run ended."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """of every trial that has a result by now, those of before a resume included; warm-ups left out"""
    left: int = 0
    interrupted: bool = False
    failed_fast: bool = False
    """a bad trial ended it, as was asked"""
    fault: LabctlError | None = None
    """what ended the run before its time, if anything did"""
    aside: dict[str, LabctlError] = field(default_factory=dict)
    """pairs that were set aside and did not return, and why"""

    @property
    def exit_code(self) -> int:
        """0 ran to its end; 1 trials failed or had no valid load; 3 the lab was lost; 130 interrupted."""
        if self.interrupted:
            return 130
        if self.fault is not None:
            return self.fault.exit_code
        return 1 if self.failed_fast or any(self.outcomes[bad] for bad in BAD) else 0
