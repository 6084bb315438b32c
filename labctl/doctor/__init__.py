"""What this machine lacks to run trials, and how to mend it.

    for finding in examine():
        print(finding.ok, finding.id, finding.detail, finding.mend)

Looks at this machine only, in seconds, and leaves nothing behind. `labctl lab check LAB` goes further: it
opens the lab as a run would, and boots the guest on it.
"""

from labctl.doctor.check import Check, Finding, Missing, examine_with
from labctl.doctor.checks import CHECKS


def examine(checks: tuple[Check, ...] = CHECKS) -> list[Finding]:
    """One finding a check, in order. Never raises for what a check finds."""
    return examine_with(checks)


__all__ = ["CHECKS", "Check", "Finding", "Missing", "examine"]
