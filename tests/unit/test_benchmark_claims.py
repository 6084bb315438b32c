"""What the benchmarks make of what they measured: each claim's arithmetic, on numbers that are known. No QEMU, no lab."""

import json
import math
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import (
    agents,
    bare,
    blackout,
    capture,
    cost,
    dirty,
    hosts,
    load,
    pairs,
    provisioning,
    rates,
    sampling,
    ssh,
    total_time,
)
from benchmarks.claim import NotMeasured
from benchmarks.cost import KINDS, Cost, Gaps
from benchmarks.overhead import overhead_s
from benchmarks.pauses import Measured, Pause
from benchmarks.programs import answer
from benchmarks.rates import Point
from benchmarks.rows import Row
from labctl.campaign import PlannedTrial, expand, make_plan
from labctl.campaign.specs import working_set_room

ETHERNET, IPV4, TCP = 14, 20, 32
HEADERS = ETHERNET + IPV4 + TCP


def frame(payload_bytes: int, gso_size: int = 0) -> tuple[bytes, int]:
    """What a packet socket gives of a TCP segment with time stamps: its beginning, and its whole length."""
    virtio = struct.pack("=BBHHHH", 0, 1 if gso_size else 0, HEADERS, gso_size, 0, 0)
    ip = bytes([0x45]) + bytes(IPV4 - 1)
    tcp = bytes(12) + bytes([(TCP // 4) << 4]) + bytes(TCP - 13)
    head = virtio + bytes(ETHERNET) + ip + tcp
    return head, len(head) + payload_bytes


class TestCapture:
    def test_a_frame_counts_as_it_is(self) -> None:
        assert capture.frame_bytes(*frame(100)) == (HEADERS + 100, 1)

    @pytest.mark.parametrize("segments", [1, 2, 45])
    def test_one_under_offload_counts_as_the_frames_it_becomes(self, segments: int) -> None:
        payload = 1448 * segments - 7
        assert capture.frame_bytes(*frame(payload, gso_size=1448)) == (
            payload + segments * HEADERS,
            segments,
        )

    def test_a_count_is_of_a_time(self) -> None:
        counted = capture.Count()
        for t_ms in (10, 20, 30):
            counted.add(t_ms * 1_000_000, *frame(100))
        said = {"buckets": sorted(counted.buckets.items())}
        assert capture.within(said, 15_000_000, 30_000_000) == 2 * (HEADERS + 100)
        assert counted.frames == 3


class TestBare:
    @pytest.mark.parametrize(
        ("word", "now"),
        [
            ("socket,id=qmp,fd=7", "socket,id=qmp,fd=31"),
            ("socket,id=samples,fd=8", "socket,id=samples,fd=32"),
            ("socket,id=commands,fd=9", "socket,id=commands,fd=33"),
            ("fd=10,set=1", "fd=34,set=1"),
            ("chardev=qmp,mode=control", "chardev=qmp,mode=control"),
        ],
    )
    def test_descriptors_are_replaced(self, word: str, now: str) -> None:
        handles = {"qmp": 31, "samples": 32, "commands": 33, "beats": 34}
        assert bare.with_fd(word, handles) == now


def test_programs_say_why_they_gave_no_answer() -> None:
    script = "import sys; sys.exit('QEMU has ended')"
    with (
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        pytest.raises(NotMeasured, match="QEMU has ended"),
    ):
        answer(process, "", 20)


def test_a_load_is_there_for_as_long_as_it_is_asked_for() -> None:
    before = children()
    with load.busy(2):
        during = children() - before
    assert len(during) == 2
    assert not children() & during


def children() -> set[str]:
    """The processes that this one has started and that live."""
    own = os.getpid()
    return set(Path(f"/proc/{own}/task/{own}/children").read_text().split())


class TestBlackout:
    def pauses(self, *errors_ms: float | None, true_ms: float = 20.0) -> list[Pause]:
        return [
            Pause(
                true_ms,
                true_ms,
                None if error is None else true_ms + error,
                is_stall=error is not None,
            )
            for error in errors_ms
        ]

    def test_an_error_counts_either_way_and_an_unseen_pause_in_full(self) -> None:
        measured = Measured(self.pauses(-0.5, 0.5, 0.5, None), 0.6, 5.0, [], 30.0)
        half, worst = blackout.long_rows(blackout.MACHINES[0], measured)
        assert half.value == 0.5
        assert half.passed
        assert worst.value is not None
        assert worst.value > 5
        assert worst.passed is False

    def test_short_ones_are_sorted_by_what_they_were(self) -> None:
        pauses = self.pauses(None, None, true_ms=3.0) + self.pauses(0.1, None, true_ms=7.0)
        below, above, false = blackout.short_rows(
            blackout.MACHINES[0], Measured(pauses, 0.6, 5.0, [12.0], 30.0)
        )
        assert (below.value, below.n) == (0.0, 2)
        assert (above.value, above.n) == (50.0, 2)
        assert false.value == 2.0
        assert "12 ms" in false.note

    def test_a_crowded_machine_is_told_and_held_to_nothing(self) -> None:
        measured = Measured(self.pauses(50.0, 50.0), 0.6, 5.0, [], 30.0)
        (crowded,) = (machine for machine in blackout.MACHINES if not machine.held)
        assert all(row.passed is None for row in blackout.long_rows(crowded, measured))


def test_rates_are_judged_by_the_median_of_the_farthest_rate() -> None:
    slow = [Point(1000, rate) for rate in (940.0, 930.0, 1000.0)]
    hindered = [Point(100, rate) for rate in (100.0, 20.0, 99.0)]
    ratio, again = rates.rows("random", hindered + slow)
    assert ratio.value == pytest.approx(0.94)
    assert ratio.passed is False
    assert "the worst window 0.200" in ratio.note
    assert again.value == pytest.approx((0.2 + 930 / 940) / 2)
    assert next(rates.rows("random", hindered)).passed


class TestDirtyCurve:
    def test_the_closed_form(self) -> None:
        assert dirty.closed_form(100, 1) == pytest.approx(1.0)
        assert dirty.closed_form(16384, 10240) == pytest.approx(
            16384 * (1 - math.exp(-0.625)), rel=1e-3
        )

    def test_it_is_judged_by_the_farthest_window(self) -> None:
        pages = {ms: dirty.closed_form(16384, 10 * ms) for ms in (10, 100, 1000)}
        true = dirty.Curve(pages, 10_000.0, pages[1000] * 4096 * 0.9)
        off = dirty.Curve({**pages, 100: pages[100] * 1.05}, 10_000.0, None)
        ratio, same, sampled = dirty.rows(40, 16384, [true, off])
        assert ratio.value == pytest.approx(1.05)
        assert ratio.passed is False
        assert same.value == pytest.approx(1.05)
        assert sampled.value == pytest.approx(0.9)
        assert sampled.n == 1


def test_every_pattern_and_content_of_the_model_is_measured() -> None:
    whole = list(rates.loads())
    assert {"random", "sequential"} <= set(rates.choices("pattern"))
    for field in ("pattern", "content"):
        asked = {getattr(load.guest(0), field, None) for load in whole}
        assert set(rates.choices(field)) <= asked
    assert len({load.name for load in whole}) == len(whole)
    for way in whole:
        assert way.guest(0).working_set_bytes <= working_set_room(way.guest(0).memory_bytes)


class TestTotalTime:
    def test_a_triple_is_one_ratio_and_one_of_the_bare_ones(self) -> None:
        triples = [{"bare": 1000.0, "bare_again": 1210.0, "labctl": 1100.0}] * 20
        ratio, same = total_time.rows(triples)
        assert ratio.value == pytest.approx(1.0)
        assert ratio.passed
        assert same.value == pytest.approx(1.21)
        assert same.limit is None

    def test_the_interval_is_what_is_held_to_the_limit(self) -> None:
        slow = {"bare": 1000.0, "bare_again": 1000.0, "labctl": 1100.0}
        level = {**slow, "labctl": 1000.0}
        ratio, _ = total_time.rows([level] * 11 + [slow] * 9)
        assert ratio.value == pytest.approx(1.0)
        assert ratio.passed is False

    def test_there_are_trials_to_spare(self) -> None:
        asked = total_time.campaign()
        assert asked.first_blocks > total_time.TRIPLES
        assert len(expand(asked)) == 1


class FakeRan:
    """A trial of three seconds' migration."""

    def __init__(self, wall_s: float) -> None:
        self.wall_s = wall_s

    def figure(self, _name: str) -> float:
        return 3000.0


def ran(wall_s: float) -> Any:
    return FakeRan(wall_s)


def test_overhead_is_what_is_neither_migration_nor_declared() -> None:
    timing = total_time.campaign().timing
    assert overhead_s(ran(5.0), timing) == pytest.approx(2.0 - timing.baseline_s - timing.settle_s)


def test_sampling_is_told_by_node_side_and_kind() -> None:
    gaps = {(side, kind): Gaps(10.0, 12.0, 500) for side in sampling.SIDES for kind in KINDS}
    found = Cost(5.0, {"source": 0.05, "destination": 0.04, "observer": 0.2}, gaps, 1990.0)
    rows = {row.name: row for row in sampling.rows([found] * 6)}
    assert rows["cpu-source"].value == pytest.approx(5.0)
    assert rows["cpu-source"].passed
    assert rows["cpu-observer"].passed is False
    assert rows["gap-source-migrate"].value == 12.0
    assert "p50 10.00 ms" in rows["gap-source-migrate"].note


def test_a_trial_that_never_migrates_has_no_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy:
        """A trial on a machine that is too busy for its load."""

        def __init__(self, *_args: Any, on_state: Any, **_more: Any) -> None:
            self.enter = on_state

        def run(self) -> str:
            for state in ("prepare", "boot", "fill", "baseline", "closed"):
                self.enter(state, 1)
            return "invalid_load"

    monkeypatch.setattr(cost, "TrialRun", Busy)
    asked = sampling.campaign()
    (cell,) = expand(asked)
    nobody: Any = None
    found: Any = cost.of_trial(nobody, cell, asked.timing, pids={"source": os.getpid()})
    assert found == (None, "invalid_load")


class TestConnections:
    """What `ss` says, one line a connection."""

    OURS = (
        'ESTAB 0 0 198.18.0.1:33496 198.18.0.11:22 users:(("python",pid=71,fd=9)) cubic mss:1448 '
        "bytes_sent:124100 bytes_retrans:36 bytes_acked:124064 bytes_received:8537 segs_out:90"
    )
    OTHER = OURS.replace("pid=71,", "pid=711,").replace("124100", "5")

    def test_the_bytes_are_those_of_this_process(self) -> None:
        assert hosts.bytes_of(f"{self.OTHER}\n{self.OURS}\n", 71) == (124100, 8537)

    @pytest.mark.parametrize(
        ("said", "fault"),
        [
            (OTHER, "0 connections"),
            (f"{OURS}\n{OURS}", "2 connections"),
            (OURS.replace("bytes_sent", "sent"), "no bytes"),
        ],
    )
    def test_anything_but_one_is_not_guessed_at(self, said: str, fault: str) -> None:
        with pytest.raises(NotMeasured, match=fault):
            hosts.bytes_of(said, 71)


class TestProvisioning:
    def starts(self) -> list[provisioning.Start]:
        first = provisioning.Start(True, 140 * 1024, 8 * 1024, 108 * 1024, 3.0)
        later = provisioning.Start(False, 32 * 1024, 8 * 1024, 0, 2.5)
        return [first, first, later, later]

    def test_the_agent_is_told_where_it_was_sent(self) -> None:
        empty = [hosts.Provisioned(40.0, 32), hosts.Provisioned(50.0, 32)]
        again = [hosts.Provisioned(14.0, 0), hosts.Provisioned(12.0, 2)]
        rows = {row.name: row for row in provisioning.rows(empty, again, self.starts())}
        assert (rows["empty"].value, rows["empty"].note) == (45.0, "changes: 32")
        assert (rows["again"].value, rows["again"].note) == (13.0, "changes: 0, 2")
        assert (rows["sent-first"].value, rows["sent-first"].n) == (140.0, 2)
        assert "108.0 KiB of it the agent" in rows["sent-first"].note
        assert rows["sent-again"].value == 32.0
        assert "agent" not in rows["sent-again"].note

    def test_what_was_not_seen_has_no_figure(self) -> None:
        done = [hosts.Provisioned(40.0, 32)]
        *_, first, again = provisioning.rows(done, done, self.starts()[:2])
        assert first.value == 140.0
        assert again.value is None


class TestSsh:
    def rows(self, *more_s: float) -> dict[str, Row]:
        triples = [
            {"embedded": ran(5.0), "embedded_again": ran(5.2), "ssh": ran(5.1 + more)}
            for more in more_s
        ]
        return {row.name: row for row in ssh.rows(triples, ssh.campaign().timing)}

    def test_it_is_beside_the_mean_of_the_two_others(self) -> None:
        rows = self.rows(*[0.3] * 6)
        assert rows["more"].value == pytest.approx(0.3)
        assert rows["more"].passed
        assert rows["aa"].value == pytest.approx(0.2)
        assert rows["overhead"].value == pytest.approx(5.4 - 3.0 - 0.8)

    def test_its_interval_is_held_to_the_limit(self) -> None:
        more = self.rows(*[0.3] * 5, *[1.9] * 4)["more"]
        assert more.value == pytest.approx(0.3)
        assert more.passed is False

    def test_a_trial_that_does_not_reach_its_load_does_not_count(self) -> None:
        class Trials:
            plan = make_plan(ssh.campaign())
            invalid_loads = 0

            def run(self, planned: PlannedTrial) -> Any:
                self.invalid_loads += planned.block != 2
                return ran(5.0) if planned.block == 2 else None

        busy: Any = Trials()
        turns = ssh.Turns(busy)
        assert turns.next().wall_s == 5.0
        with pytest.raises(NotMeasured, match="19 trials did not reach their load"):
            turns.next()


def test_the_agents_of_a_host_are_added_up() -> None:
    shares = {"source": 0.04, "source beats": 0.03, "destination": 0.05, "destination beats": 0.06}
    found = [Cost(5.0, shares, {}, 1990.0)] * 6
    source, destination = agents.rows(agents.QUIET, found)
    assert source.value == pytest.approx(7.0)
    assert source.passed
    assert "4.0 % and 3.0 %" in source.note
    assert destination.value == pytest.approx(11.0)
    assert destination.passed is False
    assert all(row.passed is None for row in agents.rows(agents.BUSY, found))


def test_each_lab_has_trials_for_every_triple() -> None:
    asked = ssh.campaign()
    assert asked.warmups == 0
    assert asked.first_blocks > 2 * ssh.TRIPLES


class TestPairs:
    def run(self, wall_s: float, *trials_s: float) -> pairs.Run:
        return pairs.Run(("h1-h2",), wall_s, trials_s, tuple(5.6 for _ in trials_s))

    def test_two_pairs_that_halve_the_time_are_wholly_used(self) -> None:
        one, two = self.run(16.0, 8.0, 8.0), self.run(8.0, 8.0, 8.0)
        share, again = pairs.rows([(one, two)] * 6)
        assert share.value == pytest.approx(1.0)
        assert again.value == pytest.approx(1.0)
        assert "a trial alone takes 8.00 s, of which 5.60 s the link" in share.note

    def test_one_pair_that_is_not_used_is_half(self) -> None:
        share, _ = pairs.rows([(self.run(16.0, 8.0, 8.0), self.run(16.0, 8.0, 8.0))] * 6)
        assert share.value == pytest.approx(0.5)

    def test_a_pair_alone_is_compared_with_the_other(self) -> None:
        two = self.run(8.0, 8.0, 8.0)
        _, again = pairs.rows([(self.run(10.0, 5.0), two), (self.run(12.0, 6.0), two)] * 3)
        assert again.value == pytest.approx(1.2)
        assert again.n == 3

    def test_a_plan_has_a_block_for_each_pair(self) -> None:
        asked = pairs.campaign()
        assert asked.first_blocks % 2 == 0
        assert len(expand(asked)) == 1


def test_the_page_in_the_docs_is_that_of_its_json() -> None:
    """Nobody has written a figure by hand: the page is what the stored measurements give (`python -m benchmarks --page`)."""
    from benchmarks import document
    from benchmarks.__main__ import DOCS
    from benchmarks.claims import CLAIMS

    stored = document.load(Path(DOCS) / "benchmarks.json")
    assert stored
    assert json.loads(document.to_json(stored))["version"] == document.VERSION
    assert (DOCS / "benchmarks.md").read_text() == document.to_markdown(stored, CLAIMS)
