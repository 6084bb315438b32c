"""Whether a load is what was asked: by the guest's own clock where it changes, from its beginning where it ends."""

from typing import Any

import pytest

from labctl.campaign import Asked, Profile
from labctl.cli.show import _load
from labctl.migration.load import account, judged
from labctl.results.schema import GuestRecord
from tests.synthetic import record

HZ = 1_000_000_000
RATE = 4096 * 1000
BURSTS = Profile(steps=((200_000, 1_000_000), (800_000, 0)))


def state(start_tsc: int = 5 * HZ) -> dict[str, Any]:
    return {"hello": {"tsc_hz": HZ}, "load": {"start_tsc": start_tsc}}


def counted(start_s: float, end_s: float, pages: int, since_boot: int = 0) -> dict[str, Any]:
    tsc = [int((5 + s) * HZ) for s in (start_s, end_s)]
    rate = pages * 4096 / (end_s - start_s)
    return {"bytes_per_s": rate, "pages": pages, "pages_since_boot": since_boot, "tsc": tsc}


@pytest.mark.parametrize(
    ("pages", "reached"), [(1000, True), (951, True), (949, False), (1060, False)]
)
def test_a_constant_load_is_judged_by_its_rate(pages: int, reached: bool) -> None:
    window = judged(Asked(RATE, Profile()), counted(0.3, 1.3, pages), {})
    assert window.asked_bytes_per_s == RATE
    assert window.reached is reached


@pytest.mark.parametrize(
    ("start_s", "end_s", "asked"),
    [(0.1, 1.1, 200), (0.25, 0.9, 0), (0.0, 2.1, 500), (0.9, 1.1, 100)],
)
def test_a_changing_load_is_judged_by_what_was_asked_just_then(
    start_s: float, end_s: float, asked: int
) -> None:
    window = judged(Asked(RATE, BURSTS), counted(start_s, end_s, asked), state())
    assert window.asked_bytes_per_s * (end_s - start_s) == pytest.approx(asked * 4096, abs=1)
    assert window.reached == (asked > 0 or window.asked_bytes_per_s == 0)
    if asked:
        assert not judged(Asked(RATE, BURSTS), counted(start_s, end_s, asked // 2), state()).reached


def test_once_is_judged_from_its_beginning() -> None:
    """It had to stop for a while, and wrote the pages later: in the window more than was asked in it."""
    asked = Asked(RATE, Profile(), most_bytes=1500 * 4096)
    late = counted(1.0, 2.0, pages=600, since_boot=1500)
    window = judged(asked, late, state())
    assert window.reached
    assert window.share == pytest.approx(1)
    assert not judged(asked, counted(1.0, 2.0, 300, since_boot=1200), state()).reached


def test_an_account_is_since_the_beginning_or_since_an_earlier_one() -> None:
    first = {"pages_written": 50, "pages_read": 5, "curve": [(10, 100, 40), (1000, 1, 30)]}
    later = {"pages_written": 80, "pages_read": 9, "curve": [(10, 150, 60), (1000, 1, 30)]}
    assert account(None) is None
    whole, since = account(first), account(later, first)
    assert whole is not None
    assert since is not None
    assert (whole["seconds"], whole["pages_written"]) == (1.0, 50)
    assert (since["seconds"], since["pages_written"], since["pages_read"]) == (0.5, 30, 4)
    assert since["dirty_curve"][0] == {"window_ms": 10, "windows": 50, "pages": 20}
    assert account(first, later) is None, "a machine that was set back"


def test_what_was_asked_and_achieved_is_shown_with_the_dirty_curve() -> None:
    point = {"window_ms": 10, "windows": 2, "pages": 1024}
    said = {"seconds": 1.0, "pages_written": 9, "pages_read": 0, "dirty_curve": [point]}
    rate = {"asked_bytes_per_s": 40 * 2**20, "measured_bytes_per_s": 39.5 * 2**20}
    guest = {"write_rate": rate, "load": {"before": said, "during": None}}
    shown = dict(_load(record(guest=GuestRecord.model_validate(guest))))
    assert shown["Load"] == "39.5 MiB/s written, 40.0 MiB/s asked"
    assert shown["Dirty curve"] == "10 ms 2.00 (window, MiB of different pages)"
    assert not dict(_load(record()))
