"""Figures against streams whose truth is known."""

import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labctl.results import TrialRecord, raw
from labctl.results.columns import Column
from labctl.results.figures import (
    FIGURES,
    MORE_FIGURES,
    Seen,
    blackout,
    costs,
    figures,
    stalls,
    work,
)
from labctl.results.schema import (
    Anchor,
    Clocks,
    GuestRecord,
    MemoryCheck,
    Offset,
    RdmaRecord,
    Scalar,
    Times,
)
from tests.synthetic import MS, REALTIME, T0, Guest, S, qmp, record

RATE = 10_000.0
PAGES_MIB = 40 * 2**20 / 4096


def seen(
    guest: Guest,
    *,
    start: int,
    end: int,
    baseline: int = T0,
    check: int | None = None,
    events: list[dict[str, Any]] | None = None,
    samples: list[dict[str, Any]] | None = None,
    kind: str = "precopy",
    **changes: Any,
) -> Seen:
    spec = {
        "algorithm": {"name": kind, "kind": kind},
        "guest": {"write_rate_bytes_per_s": 4096 * 10_000, "memory_bytes": 2**28},
    }
    anchors = {
        side: [Anchor(monotonic_ns=T0, realtime_ns=REALTIME)] for side in ("source", "destination")
    }
    entered = {"baseline": baseline, "setup": start - 1 * MS, "check": check or guest.now_ns}
    known: dict[str, Any] = {
        "spec": spec,
        "times": Times(entered=entered, migrate_start_ns=start, migrate_end_ns=end),
        "clocks": Clocks(anchors=anchors),
    }
    about = record(**{**known, **changes})
    return Seen(about, guest.frame(), raw.samples_frame(samples or []), events or [])


def switched(
    away_ns: int, *, before: int = S, after: int = S, rate: float = RATE
) -> tuple[Guest, Seen]:
    """A second of baseline, `before` of precopy, a gap, `after` of settling."""
    guest = Guest()
    guest.run(S, rate)
    start = guest.now_ns
    guest.run(before, rate)
    guest.rest(away_ns)
    guest.beat("destination")
    end = guest.now_ns
    guest.run(after, rate, "destination")
    return guest, seen(guest, start=start, end=end)


# Blackout


@settings(max_examples=25)
@given(st.integers(0, 3 * S), st.randoms(use_true_random=False))
def test_a_known_gap_is_the_blackout_whatever_the_jitter(away: int, dice: random.Random) -> None:
    guest = Guest()
    for side in ("source", "destination"):
        if side == "destination":
            guest.rest(away)
        for _ in range(300):
            guest.beat("source" if side == "source" else "destination")
            guest.rest(dice.randrange(300_000, 700_000) if _ < 299 else 0)
    assert blackout.blackout_ms(seen(guest, start=T0 + S, end=T0 + 2 * S)) == away / 1e6


def test_beats_read_out_of_order_at_the_switch_give_no_negative_blackout() -> None:
    guest, _ = switched(10 * MS)
    last, first = guest.rows[3999], guest.rows[4000]
    guest.rows[3999] = (first[0] + MS, *last[1:])
    assert blackout.blackout_ms(seen(guest, start=T0 + S, end=guest.now_ns)) == 0


def test_a_machine_that_never_switched_has_no_blackout() -> None:
    guest = Guest()
    guest.run(3 * S, RATE)
    assert blackout.blackout_ms(seen(guest, start=T0 + S, end=T0 + 2 * S)) is None


def test_a_destination_that_went_on_from_an_older_state_has_no_blackout() -> None:
    """A duplicated or rolled back machine: there is no switch to measure."""
    guest, _ = switched(10 * MS)
    guest.rows[5000:] = [(*row[:5], row[5] - 2000, *row[6:]) for row in guest.rows[5000:]]
    guest.rows[4000:5000] = []
    assert blackout.blackout_ms(seen(guest, start=T0 + S, end=guest.now_ns)) is None


def test_switchover_is_from_the_last_stop_to_the_resume_after_it() -> None:
    _, about = switched(10 * MS)
    events = [
        qmp(T0 + 10, "source", "STOP"),
        qmp(T0 + 20, "source", "RESUME"),
        qmp(T0 + 2 * S, "source", "STOP"),
        qmp(T0 + 2 * S, "destination", "STOP"),
        qmp(T0 + 2 * S + 150 * MS, "destination", "RESUME"),
        qmp(T0 + 3 * S, "source", "STOP"),
    ]
    assert (
        blackout.switchover_ms(Seen(about.record, about.beats_table, about.samples, events)) == 150
    )
    assert (
        blackout.switchover_ms(Seen(about.record, about.beats_table, about.samples, events[:4]))
        is None
    )
    assert (
        blackout.switchover_ms(Seen(about.record, about.beats_table, about.samples, events[4:]))
        is None
    )
    unanchored = about.record.model_copy(update={"clocks": Clocks()})
    assert blackout.switchover_ms(Seen(unanchored, about.beats_table, about.samples, events)) == 150


def test_clocks_of_two_hosts_meet_as_they_were_compared() -> None:
    """The source's CLOCK_MONOTONIC is an hour ahead of the observer's, which is the destination's."""
    guest, _ = switched(10 * MS)
    hour = 3600 * S
    clocks = Clocks(
        one_clock=False,
        anchors={
            "source": [Anchor(monotonic_ns=T0 + hour, realtime_ns=REALTIME)],
            "destination": [Anchor(monotonic_ns=T0, realtime_ns=REALTIME)],
            "observer": [Anchor(monotonic_ns=T0, realtime_ns=REALTIME)],
        },
        offsets={
            "source": [
                Offset(offset_ns=-hour, uncertainty_ns=9),
                Offset(offset_ns=-hour, uncertainty_ns=7),
            ],
            "destination": [Offset(offset_ns=0, uncertainty_ns=0)],
        },
    )
    stop = {**qmp(T0 + 2 * S, "source", "STOP"), "t_ns": T0 + 2 * S + hour}
    bare = {**stop, "qemu_realtime_ns": None}
    resume = qmp(T0 + 2 * S + 25 * MS, "destination", "RESUME")
    host = [
        {
            "kind": "host", "side": side, "qdisc_sent_bytes": sent, "request_ns": t, "reply_ns": t,
        }
        for side, shift in (("source", hour), ("destination", 0))
        for t, sent in ((T0 + shift, 5), (T0 + S + shift, 7), (guest.now_ns + shift, 1007))
    ]  # fmt: skip
    for first in (stop, bare):
        about = seen(
            guest, start=T0 + S, end=T0 + 2 * S, clocks=clocks, events=[first, resume], samples=host
        )
        assert blackout.switchover_ms(about) == 25
        assert costs.wire_bytes(about) == 2000
    lost = clocks.model_copy(update={"offsets": {"destination": clocks.offsets["destination"]}})
    about = seen(
        guest, start=T0 + S, end=T0 + 2 * S, clocks=lost, events=[stop, resume], samples=host
    )
    assert blackout.switchover_ms(about) is None
    assert costs.wire_bytes(about) is None


@pytest.mark.parametrize(
    ("compared", "switchover_ms"),
    [
        ([(0, 24 * MS)], 25),
        ([(0, 26 * MS)], None),
        # They drifted apart by 2 ms in the trial, so that neither comparison holds for all of it.
        ([(-2 * MS, 24 * MS), (0, 24 * MS)], None),
    ],
)
def test_a_figure_across_hosts_is_refused_when_their_clocks_are_less_sure(
    compared: list[tuple[int, int]], switchover_ms: float | None
) -> None:
    guest, _ = switched(10 * MS)
    offsets = [Offset(offset_ns=at, uncertainty_ns=unsure) for at, unsure in compared]
    here = [Offset(offset_ns=0, uncertainty_ns=0)]
    clocks = Clocks(one_clock=False, offsets={"source": offsets, "destination": here})
    events = [
        {**qmp(T0 + 2 * S, "source", "STOP"), "qemu_realtime_ns": None},
        {**qmp(T0 + 2 * S + 25 * MS, "destination", "RESUME"), "qemu_realtime_ns": None},
    ]
    about = seen(guest, start=T0 + S, end=T0 + 2 * S, clocks=clocks, events=events)
    assert blackout.switchover_ms(about) == switchover_ms


@pytest.mark.parametrize(
    ("kind", "status", "is_switched", "exposure"),
    [
        ("precopy", "completed", None, 0.0),
        ("stop_and_copy", "completed", None, 0.0),
        ("postcopy", "postcopy-active", True, 0.75),
        ("hybrid", "postcopy-active", True, 0.75),
        ("hybrid", "completed", False, 0.0),
    ],
)
def test_exposure_is_from_resume_to_the_end_of_postcopy(
    kind: str, status: str, is_switched: bool | None, exposure: float
) -> None:
    guest, _ = switched(10 * MS)
    end = T0 + 2 * S + 750 * MS
    events = [
        qmp(T0 + 2 * S - MS, "source", "MIGRATION", status=status),
        qmp(T0 + 2 * S, "destination", "RESUME"),
        qmp(end, "destination", "MIGRATION", status="completed"),
    ]
    about = seen(guest, start=T0 + S, end=end + 5 * MS, kind=kind, events=events)
    assert blackout.switched(about) is is_switched
    assert blackout.exposure_s(about) == exposure
    sampled = [
        {"kind": "migrate", "side": "source", "status": status, "request_ns": T0, "reply_ns": T0}
    ]
    about = seen(guest, start=T0 + S, end=end, kind=kind, events=events[1:2], samples=sampled)
    assert blackout.switched(about) is is_switched
    assert blackout.exposure_s(about) == exposure


def test_an_exposure_whose_end_was_not_seen_is_unknown() -> None:
    guest, _ = switched(10 * MS)
    events = [
        qmp(T0 + 2 * S, "source", "MIGRATION", status="postcopy-active"),
        qmp(T0 + 2 * S, "destination", "RESUME"),
    ]
    times = Times(entered={"baseline": T0}, migrate_start_ns=T0 + S)
    about = seen(guest, start=T0, end=0, kind="postcopy", events=events, times=times)
    assert blackout.exposure_s(about) is None


# Stalls


def test_a_stall_is_a_long_gap_that_is_not_the_blackout() -> None:
    guest = Guest()
    guest.run(S, RATE)
    guest.rest(50 * MS)  # before the migration: no stall of it
    guest.run(5 * MS, RATE)
    start = guest.now_ns
    for pause in (4, 20, 30):
        guest.run(200 * MS, RATE)
        guest.rest(pause * MS)
    guest.run(100 * MS, RATE)
    guest.rest(400 * MS)  # the blackout
    guest.beat("destination")
    guest.run(100 * MS, RATE, "destination")
    guest.rest(60 * MS)
    guest.beat("destination")
    end = guest.now_ns
    guest.run(500 * MS, RATE, "destination")
    about = seen(guest, start=start, end=end, kind="postcopy")
    found = stalls.stalls(about)
    assert found is not None
    assert [(round(s.span.length_ns / MS, 1), s.cause) for s in found] == [
        (20.5, "unknown"), (30.5, "unknown"), (60.0, "page_fault"),
    ]  # fmt: skip
    assert stalls.stall_max_ms(about) == 60
    assert stalls.stall_total_ms(about) == 111
    assert stalls.stall_count(about) == 3
    assert stalls.stall_page_fault_ms(about) == 60
    assert stalls.stall_unknown_ms(about) == 51
    assert blackout.blackout_ms(about) == 400


def test_the_threshold_follows_the_trials_own_noise() -> None:
    """A machine whose beats come every 4 ms before the migration has no stall below 12 ms."""
    guest = Guest(period_ns=4 * MS)
    guest.run(S, RATE)
    start = guest.now_ns
    for pause in (6, 10):
        guest.run(100 * MS, RATE)
        guest.rest(pause * MS)
    guest.run(500 * MS, RATE)
    about = seen(guest, start=start, end=guest.now_ns - 100 * MS)
    assert stalls.stall_threshold_ms(about) == 12
    assert stalls.stall_max_ms(about) == 14


def test_stalls_under_a_throttle_are_told_apart() -> None:
    guest = Guest()
    guest.run(S, RATE)
    start = guest.now_ns
    spans = []
    for _ in range(2):
        guest.run(100 * MS, RATE)
        spans.append(guest.now_ns)
        guest.rest(20 * MS)
    guest.run(500 * MS, RATE)
    samples = [
        {
            "kind": "migrate",
            "side": "source",
            "request_ns": t,
            "reply_ns": t,
            "cpu_throttle_percentage": p,
        }
        for t, p in ((start, 0), (spans[0] + 30 * MS, 20))
    ]
    about = seen(guest, start=start, end=guest.now_ns - MS, samples=samples)
    assert [s.cause for s in stalls.stalls(about) or []] == ["unknown", "throttle"]
    assert stalls.stall_throttle_ms(about) == 20.5


def test_a_vcpu_that_stands_still_while_beats_go_on_is_a_stall() -> None:
    guest = Guest(vcpus=2)
    guest.run(S, 20_000)
    start = guest.now_ns
    guest.run(300 * MS, 20_000)
    guest.run(80 * MS, [10_000.0, 0.0])
    guest.run(300 * MS, 20_000)
    guest.run(10 * MS, [10_000.0, 0.0])
    guest.rest(100 * MS)
    guest.beat("destination")
    guest.run(40 * MS, [10_000.0, 0.0], "destination")
    guest.run(300 * MS, 20_000, "destination")
    about = seen(guest, start=start, end=guest.now_ns - 200 * MS, kind="postcopy")
    found = [(s.vcpu, s.span.length_ns / MS, s.cause) for s in stalls.stalls(about) or []]
    assert found == [(1, 80, "unknown"), (1, 10, "unknown"), (1, 40, "page_fault")]
    idle = about.record.model_copy(update={"spec": {"guest": {"write_rate_bytes_per_s": 0}}})
    assert stalls.stalls(Seen(idle, about.beats_table, about.samples, [])) == []


def test_overlapping_stalls_of_vcpus_count_once_in_the_total() -> None:
    guest = Guest(vcpus=2)
    guest.run(S, 20_000)
    start = guest.now_ns
    guest.run(100 * MS, 20_000)
    guest.run(20 * MS, [10_000.0, 0.0])
    guest.rest(30 * MS)
    guest.beat("source")
    guest.run(10 * MS, [10_000.0, 0.0])
    guest.run(300 * MS, 20_000)
    about = seen(guest, start=start, end=guest.now_ns - MS)
    assert stalls.stall_count(about) == 2
    assert stalls.stall_total_ms(about) == 60
    assert stalls.stall_max_ms(about) == 60


def test_without_enough_beats_before_the_migration_there_is_no_stall_figure() -> None:
    guest = Guest()
    guest.run(30 * MS, RATE)
    start = guest.now_ns
    guest.run(S, RATE)
    assert stalls.stall_max_ms(seen(guest, start=start, end=guest.now_ns - MS)) is None


# Brownout and work lost


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 100)), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 100)), max_size=6),
    st.integers(0, 500),
)
def test_windows_and_work_lost_of_a_known_profile_are_exact(
    before: list[tuple[int, int]], after: list[tuple[int, int]], away_ms: int
) -> None:
    """Stretches of (tenths of a second, percent of the usual work), a blackout between them."""
    guest = Guest(period_ns=1 * MS)
    guest.beat("source")
    guest.run(S, RATE)
    start = guest.now_ns
    for tenths, percent in before:
        guest.run(tenths * 100 * MS, RATE * percent / 100)
    if after:
        guest.rest(away_ms * MS)
        guest.beat("destination")
    for tenths, percent in after:
        guest.run(tenths * 100 * MS, RATE * percent / 100, "destination")
    about = seen(guest, start=start, end=guest.now_ns, check=guest.now_ns)
    stretches = before + after
    low = sum(100 * tenths for tenths, percent in stretches if 0 < percent < 95)
    assert work.brownout_ms(about) == low
    lost = sum(tenths / 10 * (1 - percent / 100) for tenths, percent in stretches)
    assert work.work_lost_s(about) == pytest.approx(
        lost + (away_ms / 1000 if after else 0), abs=2e-3
    )


def test_a_guest_without_work_has_none_to_lose() -> None:
    _, about = switched(10 * MS, rate=0)
    assert work.brownout_ms(about) is None
    assert work.work_lost_s(about) is None
    assert work.write_rate_measured_bytes_per_s(about) == 0
    assert blackout.blackout_ms(about) == 10


def test_one_page_short_is_the_grain_of_the_count_not_a_brownout() -> None:
    """At 13 pages a window, 12 are 92 %."""
    _, about = switched(0, rate=125)
    assert work.usual_window(about) == pytest.approx(12.5, abs=0.5)
    assert work.brownout_ms(about) == 0


def test_work_that_was_gained_is_no_negative_loss() -> None:
    guest = Guest()
    guest.run(S, RATE)
    start = guest.now_ns
    guest.run(S, RATE * 1.1)
    assert work.work_lost_s(seen(guest, start=start, end=guest.now_ns)) == 0


def test_a_machine_stopped_before_migrate_lost_its_work_from_the_stop() -> None:
    """stop_and_copy: the last beat comes before `migrate`."""
    guest = Guest()
    guest.run(S, RATE)
    guest.rest(100 * MS)
    start = guest.now_ns
    guest.rest(900 * MS)
    guest.beat("destination")
    end = guest.now_ns
    guest.run(500 * MS, RATE, "destination")
    about = seen(guest, start=start, end=end, kind="stop_and_copy")
    assert blackout.blackout_ms(about) == 1000
    assert work.work_lost_s(about) == pytest.approx(1.0, abs=1e-3)


def test_the_write_rate_is_what_the_counters_say_before_the_migration() -> None:
    _, about = switched(10 * MS)
    assert work.write_rate_measured_bytes_per_s(about) == pytest.approx(RATE * 4096, rel=1e-3)
    assert work.write_rate_asked_bytes_per_s(about) == RATE * 4096


def test_lost_beats_are_counted() -> None:
    guest, _ = switched(10 * MS)
    del guest.rows[4000], guest.rows[2500:2503]
    assert work.beats_lost(seen(guest, start=T0 + S, end=guest.now_ns)) == 4


# Costs


def host(side: str, t_ns: int, **counters: int | None) -> dict[str, Any]:
    return {"kind": "host", "side": side, "request_ns": t_ns, "reply_ns": t_ns + MS, **counters}


def test_wire_bytes_are_both_ends_qdiscs_until_the_settled_end() -> None:
    guest, _ = switched(10 * MS)
    start, end, check = T0 + S, T0 + 2 * S, guest.now_ns
    samples = [
        host("source", T0, qdisc_sent_bytes=1, tx_bytes=1),
        host("source", start - 5 * MS, qdisc_sent_bytes=1000, tx_bytes=900),
        host("source", start + 5 * MS, qdisc_sent_bytes=5000, tx_bytes=900),
        host("source", end + 5 * MS, qdisc_sent_bytes=90_000, tx_bytes=900),
        host("source", check + 5 * MS, qdisc_sent_bytes=101_000, tx_bytes=900),
        host("source", check + 15 * MS, qdisc_sent_bytes=999_000, tx_bytes=900),
        host("destination", start - 5 * MS, qdisc_sent_bytes=50),
        host("destination", check + 5 * MS, qdisc_sent_bytes=250),
    ]
    assert costs.wire_bytes(seen(guest, start=start, end=end, samples=samples)) == 100_200
    assert costs.wire_bytes(seen(guest, start=start, end=end, samples=samples[:6])) is None


@pytest.mark.parametrize(
    ("provider", "counts", "wire_bytes"),
    [
        ("rxe", False, 30),  # its packets pass the queue
        ("mlx5_core", True, 2030),
        ("mlx5_core", False, None),
    ],
)
def test_what_a_card_sends_by_rdma_is_on_the_wire_too(
    provider: str, counts: bool, wire_bytes: int | None
) -> None:
    guest, _ = switched(10 * MS)
    start, end, check = T0 + S, T0 + 2 * S, guest.now_ns
    samples = [
        host(side, t, qdisc_sent_bytes=queued, rdma_tx_bytes=sent if counts else None)
        for side in ("source", "destination")
        for t, queued, sent in ((start - 5 * MS, 5, 1000), (check + 5 * MS, 20, 2000))
    ]
    about = seen(guest, start=start, end=end, samples=samples)
    about.record.rdma = {side: RdmaRecord(provider=provider) for side in ("source", "destination")}
    assert costs.wire_bytes(about) == wire_bytes


def test_cpu_is_that_of_the_migration_split_by_thread() -> None:
    """A counter that falls, because a thread ended, counts as far as it had grown."""
    guest, _ = switched(10 * MS)
    start, end = T0 + S, T0 + 2 * S
    samples = [
        host("source", start - 5 * MS, vcpu_cpu_ns=S, other_cpu_ns=S),
        host("source", end - 5 * MS, vcpu_cpu_ns=2 * S, other_cpu_ns=4 * S),
        host("source", end + 5 * MS, vcpu_cpu_ns=3 * S, other_cpu_ns=2 * S),
        host("source", end + 15 * MS, vcpu_cpu_ns=9 * S, other_cpu_ns=9 * S),
        host("destination", start - 5 * MS, vcpu_cpu_ns=0, other_cpu_ns=None),
        host("destination", end + 5 * MS, vcpu_cpu_ns=S, other_cpu_ns=None),
    ]
    about = seen(guest, start=start, end=end, samples=samples)
    assert costs.cpu_source_vcpu_s(about) == 2
    assert costs.cpu_source_other_s(about) == 3
    assert costs.cpu_source_s(about) == 5
    assert costs.cpu_destination_vcpu_s(about) == 1
    assert costs.cpu_destination_s(about) is None


def test_qemus_figures_are_the_final_replys() -> None:
    guest, _ = switched(10 * MS)
    final = {
        "status": "completed", "total-time": 2345, "setup-time": 3, "downtime": 42,
        "ram": {"transferred": 777, "postcopy-requests": 5},
    }  # fmt: skip
    events = [qmp(T0, "source", "MIGRATION_PASS", **{"pass": n}) for n in (1, 2, 3)]
    about = seen(guest, start=T0 + S, end=T0 + 2 * S, final_query_migrate=final, events=events)
    assert costs.total_time_ms(about) == 2345
    assert costs.setup_time_ms(about) == 3
    assert blackout.downtime_ms(about) == 42
    assert costs.ram_bytes(about) == 777
    assert costs.page_requests(about) == 5
    assert costs.passes(about) == 3
    assert costs.wall_time_ms(about) == 1000


def test_of_a_cancelled_migration_the_last_sample_is_all_there_is() -> None:
    guest, _ = switched(10 * MS)
    samples = [
        {"kind": "migrate", "side": "source", "request_ns": t, "reply_ns": t, "total_time_ms": total,
         "transferred_bytes": sent}
        for t, total, sent in ((1, 10, 5), (2, 20, 6), (3, None, None))
    ]  # fmt: skip
    final = {"status": "cancelled"}
    about = seen(guest, start=T0 + S, end=T0 + 2 * S, final_query_migrate=final, samples=samples)
    assert costs.total_time_ms(about) == 20
    assert costs.ram_bytes(about) == 6
    assert blackout.downtime_ms(about) is None
    assert costs.passes(about) is None


@pytest.mark.parametrize(
    ("check", "identical"),
    [
        (None, None),
        (MemoryCheck(pages_checked=10, pages_bad=0), True),
        (MemoryCheck(pages_checked=10, pages_bad=1), False),
        (MemoryCheck(pages_checked=0, pages_bad=0), False),
    ],
)
def test_memory_is_identical_only_when_it_was_checked(
    check: MemoryCheck | None, identical: bool | None
) -> None:
    guest, _ = switched(10 * MS)
    about = seen(guest, start=T0 + S, end=T0 + 2 * S)
    about.record.guest = GuestRecord(check=check)
    assert costs.memory_identical(about) is identical


# All of them


ns = st.integers(T0 - S, T0 + 3 * S)
maybe_ns = st.none() | ns
rows = st.tuples(
    ns, st.integers(0, 1), st.integers(0, 4), st.just(2), st.just(0), st.integers(0, 50),
    st.integers(0, 2**64 - 1), st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=2),
)  # fmt: skip
sample = st.fixed_dictionaries(
    {"kind": st.sampled_from(["migrate", "host"]), "side": st.sampled_from(raw.SIDES)},
    optional={
        "request_ns": ns, "reply_ns": ns, "status": st.sampled_from(["active", "postcopy-active"]),
        "qdisc_sent_bytes": st.integers(0, 2**40), "vcpu_cpu_ns": st.integers(0, 2**40),
        "other_cpu_ns": st.integers(0, 2**40), "cpu_throttle_percentage": st.integers(0, 99),
        "total_time_ms": st.integers(0, 10**6),
    },
)  # fmt: skip
event = st.builds(
    lambda t, side, name, real, data: {
        "t_ns": t, "side": side, "kind": "qmp", "name": name, "qemu_realtime_ns": real, "data": data
    },
    ns, st.sampled_from(["source", "destination"]),
    st.sampled_from(["STOP", "RESUME", "MIGRATION", "MIGRATION_PASS"]), st.none() | ns,
    st.none() | st.fixed_dictionaries({"status": st.sampled_from(["completed", "postcopy-active"])}),
)  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(rows, max_size=40),
    st.lists(sample, max_size=8),
    st.lists(event, max_size=8),
    st.dictionaries(st.sampled_from(["baseline", "setup", "precopy", "check", "closed"]), ns),
    maybe_ns,
    maybe_ns,
    st.sampled_from([None, "stop_and_copy", "precopy", "postcopy", "hybrid"]),
    st.booleans(),
)
def test_whatever_was_seen_no_figure_fails_or_is_negative(
    beats: list[Any],
    samples: list[dict[str, Any]],
    events: list[dict[str, Any]],
    entered: dict[str, int],
    start: int | None,
    end: int | None,
    kind: str | None,
    one_clock: bool,
) -> None:
    times = Times(entered=entered, migrate_start_ns=start, migrate_end_ns=end)
    spec = {"algorithm": {"kind": kind}, "guest": {"write_rate_bytes_per_s": 1}} if kind else {}
    about = record(times=times, spec=spec, clocks=Clocks(one_clock=one_clock))
    frame = raw.beats_frame(np.array(beats, raw.beat_dtype(2)).tobytes(), 2)
    found = figures(about, frame, raw.samples_frame(samples), events)
    assert list(found) == [figure.column.name for figure in (*FIGURES, *MORE_FIGURES)]
    for name, value in found.items():
        assert value is None or isinstance(value, bool | int | float | str), name
        if isinstance(value, int | float):
            assert value >= 0, name
    assert TrialRecord.model_validate_json(record(figures=found).to_json()).figures == found


def test_a_trial_of_which_nothing_was_seen_has_no_figures() -> None:
    empty = figures(record(spec={}), raw.no_beats(), pd.DataFrame(), [])
    nothing: dict[str, Scalar] = dict.fromkeys(empty)
    assert empty == nothing


def test_the_designs_columns_stand_in_their_order() -> None:
    order = (
        "total_time_ms setup_time_ms switchover_ms downtime_ms blackout_ms stall_max_ms "
        "stall_total_ms brownout_ms work_lost_s wire_bytes ram_bytes passes page_requests "
        "write_rate_asked_bytes_per_s write_rate_measured_bytes_per_s cpu_source_s "
        "cpu_destination_s exposure_s memory_identical switched"
    )
    assert [figure.column.name for figure in FIGURES] == order.split()


@pytest.mark.parametrize(
    "column", [f.column for f in (*FIGURES, *MORE_FIGURES)], ids=lambda c: c.name
)
def test_every_figure_says_what_it_is(column: Column) -> None:
    assert column.definition.endswith(".")
    assert column.source
    units = {"_ms": "ms", "_bytes": "bytes", "_per_s": "bytes/s", "_s": "s", "_percent": "%"}
    for suffix, unit in units.items():
        if column.name.endswith(suffix):
            assert column.unit == unit
            break
    else:
        assert not column.unit
