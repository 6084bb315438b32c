"""One tree of errors. What a caller can do about an error decides its class.

    LabctlError                exit 1   anything labctl raises on purpose
    ├── InputError             exit 2   a user's mistake in a file, a flag or a name
    │   ├── CampaignError               a campaign file; all its faults at once
    │   ├── RunNotFound                 no such run
    │   └── PlanChanged                 a resumed run's plan is no longer the stored one
    ├── LabError               exit 3   the lab is not usable
    │   └── LabHeld                     another run holds a host of the lab
    ├── ProvisionError         exit 3   a playbook did not reach its end
    ├── NodeError              exit 1   a node refused or failed a request
    ├── NodeLost               exit 1   the channel to a node ended
    ├── WaitTimeout            exit 1   a named wait took longer than its time-out
    └── ResultsError           exit 1   stored results cannot be read

Each carries the fault, the place it is in (`file.yaml:12`, a host, a flag) and, where there is one,
the mend. The command line prints `str(error)` and exits with `exit_code`; it shows no traceback.
"""

# An error is named for what happened, as its reader will say it: no `Error` at the end of each.
# ruff: noqa: N818

from collections.abc import Sequence
from typing import ClassVar


class LabctlError(Exception):
    """Anything labctl raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __init__(self, fault: str, *, place: str | None = None, mend: str | None = None) -> None:
        super().__init__(fault)
        self.fault = fault
        self.place = place
        self.mend = mend

    def __str__(self) -> str:
        head = f"{self.place}: {self.fault}" if self.place else self.fault
        return f"{head}\n  mend: {self.mend}" if self.mend else head


class InputError(LabctlError):
    """A user's mistake in a file, a flag or a name."""

    exit_code = 2


class CampaignError(InputError):
    """One or more faults of a campaign file; `faults` holds each, in the order of the file."""

    def __init__(self, fault: str, *, place: str | None = None, mend: str | None = None) -> None:
        super().__init__(fault, place=place, mend=mend)
        self.faults: tuple[CampaignError, ...] = (self,)

    @classmethod
    def of(cls, faults: Sequence["CampaignError"]) -> "CampaignError":
        """One error for all `faults` (at least one) of a file."""
        if len(faults) == 1:
            return faults[0]
        error = cls(f"{len(faults)} faults")
        error.faults = tuple(faults)
        return error

    def __str__(self) -> str:
        if self.faults == (self,):
            return super().__str__()
        return "\n".join(str(fault) for fault in self.faults)


class RunNotFound(InputError):
    """No run of that path or name."""


class PlanChanged(InputError):
    """The plan of a run that is resumed differs from the stored one."""


class LabError(LabctlError):
    """The lab is not usable."""

    exit_code = 3


class LabHeld(LabError):
    """Another run holds a host of the lab."""


class ProvisionError(LabctlError):
    """A playbook did not reach its end, so the lab is not usable."""

    exit_code = 3


class NodeError(LabctlError):
    """A node refused or failed a request; `code` is the node's own word for why."""

    def __init__(
        self, fault: str, *, code: str = "error", place: str | None = None, mend: str | None = None
    ) -> None:
        super().__init__(fault, place=place, mend=mend)
        self.code = code


class NodeLost(LabctlError):
    """The channel to a node ended while it was needed."""


class WaitTimeout(LabctlError):
    """The wait called `wait` took longer than `timeout_s` seconds."""

    def __init__(
        self,
        wait: str,
        timeout_s: float,
        *,
        fault: str | None = None,
        place: str | None = None,
        mend: str | None = None,
    ) -> None:
        said = fault or f"waiting for {wait} took longer than its limit of {timeout_s:g} s"
        super().__init__(said, place=place, mend=mend)
        self.args = (wait, timeout_s)
        self.wait = wait
        self.timeout_s = timeout_s


class ResultsError(LabctlError):
    """Stored results cannot be read."""
