"""The load: what the guest was asked until a moment, where that changes over time, and its dirty curve.

A load that changes is asked by the guest's own clock, from the second its writing began; that clock
stands still while the machine is stopped, and its profile with it.
"""

from dataclasses import dataclass

import numpy as np

from labctl.campaign.profiles import Asked, Profile
from labctl.results.figures.seen import Floats, Ints, Seen, figure
from labctl.results.raw import PAGE_BYTES
from labctl.results.schema import LoadAccount


@dataclass(frozen=True)
class Changing:
    """A load that is not the same in any two windows, on the observer's clock."""

    asked: Asked
    seen: Seen
    start_tsc: int
    tsc_hz: int

    def guest_s(self, t_ns: Ints) -> Floats:
        """The seconds for which the guest had been writing, by its own clock."""
        beats = self.seen.beats
        ticks = np.interp(t_ns, beats.t_ns, beats.tsc - self.start_tsc)
        found: Floats = ticks / self.tsc_hz
        return found

    def pages(self, t_ns: Ints) -> Floats:
        """Pages that it had been asked to write."""
        return np.array([self.asked.pages(t) for t in self.guest_s(t_ns)], np.float64)

    def busy_ns(self, t_ns: Ints) -> Ints:
        """For how long it had been asked to write anything at all."""
        seconds = self.guest_s(t_ns)
        if self.asked.most_bytes is not None:
            seconds = np.minimum(seconds, self.asked.most_bytes / self.asked.mean_bytes_per_s)
        busy = [self.asked.profile.busy_s(t) * 1e9 for t in seconds]
        return np.array(busy, np.float64).astype(np.int64)

    @property
    def peak_pages_per_s(self) -> float:
        """The most that is asked at any time."""
        shares = [ppm / 1e6 for _, ppm in self.asked.profile.steps] or [1.0]
        return self.asked.rate_bytes_per_s * max(shares) / PAGE_BYTES


def asked_of(seen: Seen) -> Asked:
    """What the guest of a trial was asked to write."""
    guest = seen.record.spec.get("guest") or {}
    profile = Profile.model_validate(seen.record.spec.get("profile") or {})
    most = guest.get("working_set_bytes") if guest.get("pattern") == "once" else None
    return Asked(guest.get("write_rate_bytes_per_s") or 0, profile, most)


def changing(seen: Seen) -> Changing | None:
    """The trial's load, where it changes over time and the guest said when it began."""
    load, hello = seen.record.guest.load, seen.record.guest.hello or {}
    asked = asked_of(seen)
    if asked.constant or load is None or load.start_tsc is None or not hello.get("tsc_hz"):
        return None
    return Changing(asked, seen, load.start_tsc, hello["tsc_hz"])


def _before(seen: Seen) -> LoadAccount | None:
    load = seen.record.guest.load
    return load.before if load else None


def _dirty_bytes(seen: Seen, window_ms: int) -> float | None:
    account = _before(seen)
    for point in account.dirty_curve if account else ():
        if point.window_ms == window_ms and point.windows:
            return point.pages * PAGE_BYTES / point.windows
    return None


@figure("float", "bytes", source="trial.json: guest.load.before.dirty_curve")
def dirty_in_100ms_bytes(seen: Seen) -> float | None:
    """Bytes of different pages written within 100 ms, the mean of all such windows before the
    migration, by the guest's own count. The whole curve, 10 ms to 1 s, stands in trial.json.
    """
    return _dirty_bytes(seen, 100)


@figure("float", "bytes", source="trial.json: guest.load.before.dirty_curve")
def dirty_in_1s_bytes(seen: Seen) -> float | None:
    """The same, within 1 s."""
    return _dirty_bytes(seen, 1000)


@figure("float", "bytes/s", source="trial.json: guest.load.before")
def read_rate_measured_bytes_per_s(seen: Seen) -> float | None:
    """Bytes of pages the guest read per second before the migration, by its own count."""
    account = _before(seen)
    if account is None or not account.seconds:
        return None
    return account.pages_read * PAGE_BYTES / account.seconds


@figure("float", "bytes/s", source="plan: guest.read_share; trial.json: guest.load.before")
def read_rate_asked_bytes_per_s(seen: Seen) -> float | None:
    """Bytes of pages the guest was to read per second, for what it wrote: `read_share` is the reads'
    share of all accesses to pages.
    """
    account, share = _before(seen), seen.record.asked("guest", "read_share")
    if account is None or not account.seconds or not isinstance(share, int | float):
        return None
    return account.pages_written * PAGE_BYTES / account.seconds * share / (1 - share)
