"""What the guest does now, from what the observer tells of its beats a few times a second: for those who watch, not for results."""

from collections.abc import Callable, Sequence
from typing import Any, Final

GuestHook = Callable[[float, float | None], None]
"""told the write rate in bytes/s, and the blackout so far in s or None"""

_PAGE_BYTES: Final = 4096
_WORD: Final = 1 << 32


class GuestNow:
    """Turns what is told of one trial's beats into a write rate and the blackout so far."""

    def __init__(self, tell: GuestHook) -> None:
        self._tell = tell
        self._before: tuple[int, Sequence[int]] | None = None

    def heard(self, told: dict[str, Any], state: str) -> None:
        """Take what the observer told while the trial was in `state`."""
        now_ns, work = int(told["now_ns"]), told["work"]
        if work is None:
            return
        before, self._before = self._before, (now_ns, work)
        if before is None or now_ns <= before[0] or len(work) != len(before[1]):
            return
        pages = sum((new - old) % _WORD for old, new in zip(before[1], work, strict=True))
        blackout_s = _blackout_s(told, state, now_ns)
        self._tell(pages * _PAGE_BYTES / ((now_ns - before[0]) / 1e9), blackout_s)


def _blackout_s(told: dict[str, Any], state: str, now_ns: int) -> float | None:
    left_ns, there_ns = int(told["last_ns"]["source"]), int(told["first_ns"]["destination"])
    if there_ns:
        return (there_ns - left_ns) / 1e9 if there_ns > left_ns else None
    return (now_ns - left_ns) / 1e9 if state == "switching" else None
