"""The load: what the guest is told, whether it did as it was asked, and its own account of it."""

from dataclasses import dataclass
from typing import Any, Final

from labctl.campaign.profiles import Asked, Profile
from labctl.campaign.specs import EQUAL, PAGE_BYTES, GuestSpec

LOAD_TOLERANCE: Final = 0.05
"""a write rate that is more than 5 % off is no valid load"""


def command_line(guest: GuestSpec, profile: Profile, nonce: int) -> str:
    """The guest's, as labctl/guest/README.md describes it. What has its default there is left out."""
    words = [
        f"nonce={nonce:08x} ws={guest.working_set_bytes} rate={guest.write_rate_bytes_per_s}",
        f"pattern={guest.pattern} fill={guest.fill}",
        f"vcpus={guest.vcpus} seed={guest.seed} beat_us=500",
    ]
    if guest.pattern == "zipf":
        words.append(f"zipf={round(guest.zipf_exponent * 1000)}")
    if guest.content != "random":
        words.append(f"content={guest.content}")
    if guest.content == "delta":
        words.append(f"delta={guest.delta_bytes}")
    if guest.read_share:
        words.append(f"reads={round(guest.read_share * 1_000_000)}")
    if guest.vcpu_parts != EQUAL:
        words.append(f"parts={guest.vcpu_parts}")
    if not profile.constant:
        words.append("steps=" + ",".join(f"{us}:{ppm}" for us, ppm in profile.steps))
    return " ".join(words)


@dataclass(frozen=True)
class Window:
    """A stretch of the baseline: what was asked in it and what was written, bytes per second."""

    asked_bytes_per_s: float
    measured_bytes_per_s: float

    @property
    def share(self) -> float:
        """What was written of what was asked; 1 where that was nothing."""
        asked = self.asked_bytes_per_s
        return self.measured_bytes_per_s / asked if asked else 1.0

    @property
    def reached(self) -> bool:
        """Whether the load was what was asked."""
        off = abs(self.measured_bytes_per_s - self.asked_bytes_per_s)
        return off <= LOAD_TOLERANCE * self.asked_bytes_per_s


def judged(asked: Asked, counted: dict[str, Any], state: dict[str, Any]) -> Window:
    """The window that the observer `counted` (observe.rate), against what the guest was asked in it.

    A rate that changes is asked by the guest's own clock, from the second its writing began. A load
    that ends (`once`) is counted from there too: late pages are not lost to it, they come later.
    """
    load = state.get("load")
    if asked.constant or load is None:
        return Window(asked.mean_bytes_per_s, counted["bytes_per_s"])
    start_s, end_s = (
        (tsc - load["start_tsc"]) / state["hello"]["tsc_hz"] for tsc in counted["tsc"]
    )
    pages = counted["pages"]
    if asked.most_bytes is not None:
        start_s, pages = 0.0, counted["pages_since_boot"]
    wanted = asked.pages(end_s) - asked.pages(start_s)
    return Window(wanted * PAGE_BYTES / (end_s - start_s), pages * PAGE_BYTES / (end_s - start_s))


def account(
    load: dict[str, Any] | None, since: dict[str, Any] | None = None
) -> dict[str, Any] | None:
    """The guest's account of its load since the beginning, or since an earlier one, as it is stored."""
    if load is None:
        return None
    before = since["curve"] if since else [(ms, 0, 0) for ms, _, _ in load["curve"]]
    curve = [
        {"window_ms": ms, "windows": windows - had, "pages": pages - had_pages}
        for (ms, windows, pages), (_, had, had_pages) in zip(load["curve"], before, strict=True)
    ]
    if curve[0]["windows"] <= 0:  # too short, or a machine that was set back
        return None
    return {
        "seconds": curve[0]["windows"] * curve[0]["window_ms"] / 1e3,
        "pages_written": load["pages_written"] - (since["pages_written"] if since else 0),
        "pages_read": load["pages_read"] - (since["pages_read"] if since else 0),
        "dirty_curve": curve,
    }


class Accounts:
    """The guest's own accounts of its load, as a trial keeps them: until the migration (`before`), and from there (`during`)."""

    def __init__(self, guest: dict[str, Any]) -> None:
        self._guest = guest
        self._last: dict[str, Any] | None = None

    def keep(self, when: str, load: dict[str, Any] | None) -> None:
        """Keep what the guest has told since the last account."""
        since, self._last = self._last, load
        if load is not None:
            kept = self._guest.setdefault("load", {"start_tsc": load["start_tsc"]})
            kept[when] = account(load, since)
