"""What became of a trial: verdict and outcome, from what was seen. Pure.

A trial is completed only when the *destination* runs, beats and passes the memory check, whatever the source says.
"""

from dataclasses import dataclass

from labctl.errors import LabctlError

CONTROL_STATUSES = {"postcopy-paused", "postcopy-recover"}
SPLIT_STATUSES = {"postcopy-active", *CONTROL_STATUSES}
"""while an end says one of these, the machine's memory is on both hosts"""


@dataclass(frozen=True)
class Seen:
    """What was seen after the migration ended."""

    status: str
    """of the schedule: completed, cancelled, failed, postcopy-paused, qemu-died, hard-limit"""
    fired: frozenset[str]
    """rules that fired on the source"""
    source_beats: bool
    destination_beats: bool
    memory_checked: bool
    memory_identical: bool
    error: str | None = None
    """QEMU's words, or the wait that timed out"""
    split: bool = False
    """at the end its memory was still on both hosts"""
    ended: frozenset[str] = frozenset()
    """sides whose QEMU ended by itself"""
    link_down: bool = False
    """at the end the link carried nothing"""

    @property
    def torn(self) -> bool:
        """Part of the machine is gone, though what is left may go on until it needs that part."""
        return self.split and bool(self.ended)


@dataclass(frozen=True)
class Judgement:
    """What became of a trial, and why where it did not complete."""

    outcome: str
    verdict: str | None
    reason: str | None


class Ends(LabctlError):  # noqa: N818 - named for what happened, as in labctl.errors
    """The trial ends here, with a judgement."""

    def __init__(self, judgement: Judgement) -> None:
        super().__init__(judgement.reason or judgement.outcome)
        self.judgement = judgement


def verdict_of(seen: Seen) -> str:
    """Where the machine is: who beats decides, not what QEMU says; but half a machine is none."""
    if seen.source_beats and seen.destination_beats:
        return "duplicated"
    if seen.torn:
        return "lost"
    if seen.destination_beats:
        return "on_destination"
    if seen.source_beats:
        return "on_source"
    return "paused_recoverable" if seen.status in CONTROL_STATUSES else "lost"


def judge(seen: Seen) -> Judgement:
    """Outcome, verdict and the reason of every outcome that is not `completed`."""
    verdict = verdict_of(seen)
    if seen.status == "completed" and verdict == "on_destination":
        if seen.memory_checked and seen.memory_identical:
            return Judgement("completed", verdict, None)
        what = (
            "the memory differs after the migration"
            if seen.memory_checked
            else "the memory was not checked"
        )
        return Judgement("failed", verdict, _with(what, seen.error))
    if seen.link_down:
        return Judgement("failed", verdict, f"the link is down; {_said(seen, verdict)}")
    if seen.status == "cancelled" and "limit" in seen.fired and verdict == "on_source":
        return Judgement(
            "not_converged", verdict, "not switched over within the limit of total time"
        )
    if seen.torn:
        gone = " and the ".join(sorted(seen.ended))
        return Judgement(
            "failed",
            verdict,
            _with(f"the {gone}'s QEMU ended, and with it a part of the machine", seen.error),
        )
    return Judgement("failed", verdict, _said(seen, verdict))


def _said(seen: Seen, verdict: str) -> str:
    """How it ended, where the machine is, and QEMU's words."""
    said = {
        "completed": "QEMU says completed",
        "cancelled": "QEMU says cancelled",
        "failed": "QEMU says failed",
        "postcopy-paused": "the network was lost after the switch",
        "qemu-died": "the source's QEMU ended",
        "hard-limit": "no end within the hard limit",
    }.get(seen.status, f"QEMU says {seen.status}")
    if seen.status == "hard-limit" and "limit" in seen.fired:
        said += ", though QEMU was told at the limit of total time to cancel"
    where = {
        "on_destination": "the machine runs on the destination",
        "on_source": "the machine runs on the source",
        "paused_recoverable": "the machine is paused and can be recovered",
        "lost": "the machine beats nowhere",
        "duplicated": "the machine runs on both hosts",
    }[verdict]
    return _with(f"{said}; {where}", seen.error)


def _with(what: str, error: str | None) -> str:
    return f"{what}: {error}" if error else what
