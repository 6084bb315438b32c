"""Figures of a load that changes over time: work is compared with what was asked of it just then."""

import numpy as np
import pytest

from labctl.campaign import Asked, Profile
from labctl.results import raw
from labctl.results.figures import Seen, load, stalls, work
from labctl.results.figures.load import changing
from labctl.results.schema import (
    DirtyPoint,
    GuestLoad,
    GuestRecord,
    LoadAccount,
    Times,
    WriteRate,
)
from tests.synthetic import MS, T0, Guest, S, record

RATE = 10_000
STEPS = ((200_000, 2_000_000), (300_000, 0))
HZ = 2_500_000_000  # of the synthetic guest's TSC


class Bursty(Guest):
    """Writes as the profile asks, at its share `efficiency`, for so long."""

    origin = T0

    def follow(self, length: int, *, efficiency: float = 1.0, side: str = "source") -> None:
        end = self.now_ns + length
        while self.now_ns < end:
            left = (self.now_ns - self.origin) % (500 * MS)
            rate = 2.0 * RATE if left < 200 * MS else 0.0
            until = (200 if left < 200 * MS else 500) * MS - left
            self.run(min(until, end - self.now_ns), rate * efficiency, side)  # type: ignore[arg-type]


def seen(
    guest: Guest, *, start: int, end: int, pattern: str = "random", steps: object = STEPS
) -> Seen:
    spec = {
        "algorithm": {"name": "precopy", "kind": "precopy"},
        "guest": {
            "write_rate_bytes_per_s": 4096 * RATE, "pattern": pattern, "working_set_bytes": 4096 * 4 * RATE,
            "read_share": 0.25,
        },
        "profile": {"steps": steps},
    }  # fmt: skip
    point = DirtyPoint(window_ms=100, windows=10, pages=3000)
    account = LoadAccount(seconds=1.0, pages_written=9000, pages_read=3000, dirty_curve=[point])
    about = record(
        spec=spec,
        times=Times(
            entered={"baseline": T0, "setup": start - MS, "check": guest.now_ns},
            migrate_start_ns=start,
            migrate_end_ns=end,
        ),
        guest=GuestRecord(
            hello={"tsc_hz": HZ},
            write_rate=WriteRate(asked_bytes_per_s=123.0, measured_bytes_per_s=120.0),
            load=GuestLoad(start_tsc=T0 * 5 // 2, before=account),
        ),
    )
    return Seen(about, guest.frame(), raw.samples_frame([]), [])


def test_bursts_that_go_on_are_no_brownout_and_lose_nothing() -> None:
    guest = Bursty()
    guest.follow(2 * S)
    start = guest.now_ns
    guest.follow(2 * S)
    about = seen(guest, start=start, end=guest.now_ns)
    assert work.brownout_ms(about) == 0
    assert work.work_lost_s(about) == pytest.approx(0, abs=0.01)
    assert work.write_rate_asked_bytes_per_s(about) == 123
    assert work.write_rate_measured_bytes_per_s(about) == 120.0


def test_bursts_at_half_their_rate_are_a_brownout_only_where_something_was_asked() -> None:
    guest = Bursty()
    guest.follow(2 * S)
    start = guest.now_ns
    guest.follow(2 * S, efficiency=0.5)
    about = seen(guest, start=start, end=guest.now_ns)
    assert work.brownout_ms(about) == 4 * 2 * 100
    assert work.work_lost_s(about) == pytest.approx(1.0, abs=0.02)


def test_a_second_away_is_the_work_that_would_have_been_asked() -> None:
    """The guest's clock stands still, and its profile goes on afterwards from where it was."""
    guest = Bursty()
    guest.follow(2 * S)
    start = guest.now_ns
    guest.follow(500 * MS)
    away = guest.now_ns
    guest.rest(S)
    guest.origin += S
    guest.follow(S, side="destination")
    about = seen(guest, start=start, end=guest.now_ns)
    table = about.beats_table
    ticks = table["tsc"].to_numpy(np.int64)
    late = table["t_ns"].to_numpy(np.int64) > away
    table["tsc"] = np.where(late, ticks - S * 5 // 2, ticks).astype(np.uint64)
    assert work.brownout_ms(about) == 0
    assert work.work_lost_s(about) == pytest.approx(1.0, abs=0.01)


def test_a_vcpu_that_rests_between_bursts_is_not_in_a_stall() -> None:
    guest = Bursty(vcpus=2)
    guest.follow(2 * S)
    start = guest.now_ns
    guest.follow(S)
    about = seen(guest, start=start, end=guest.now_ns)
    limit = stalls.threshold_ns(about, 1)
    assert limit is not None
    assert limit < 10 * MS
    assert stalls.stall_total_ms(about) == 0


def test_once_is_no_brownout_when_it_is_done() -> None:
    """4 s of writing were asked; then nothing."""
    guest = Guest()
    guest.run(2 * S, RATE)
    start = guest.now_ns
    guest.run(2 * S, RATE)
    guest.run(2 * S, 0)
    about = seen(guest, start=start, end=guest.now_ns, pattern="once", steps=())
    assert work.brownout_ms(about) == 0
    assert work.work_lost_s(about) == pytest.approx(0, abs=0.01)


def test_without_the_guests_own_start_nothing_is_guessed() -> None:
    guest = Bursty()
    guest.follow(3 * S)
    about = seen(guest, start=T0 + 2 * S, end=guest.now_ns)
    about.record.guest.load = None
    assert changing(about) is None
    assert work.brownout_ms(about) is None
    assert work.work_lost_s(about) is None
    assert load.dirty_in_100ms_bytes(about) is None


def test_a_constant_load_needs_no_account() -> None:
    assert Asked(5.0, Profile()).constant
    guest = Guest()
    guest.run(3 * S, RATE)
    about = seen(guest, start=T0 + 2 * S, end=guest.now_ns, steps=())
    assert changing(about) is None
    assert work.brownout_ms(about) == 0
    assert work.write_rate_asked_bytes_per_s(about) == 4096 * RATE


def test_reads_and_the_dirty_curve_are_read_from_the_guests_account() -> None:
    guest = Bursty()
    guest.follow(3 * S)
    about = seen(guest, start=T0 + 2 * S, end=guest.now_ns)
    assert load.dirty_in_100ms_bytes(about) == 300 * 4096
    assert load.dirty_in_1s_bytes(about) is None
    assert load.read_rate_measured_bytes_per_s(about) == 3000 * 4096
    assert load.read_rate_asked_bytes_per_s(about) == pytest.approx(3000 * 4096)
