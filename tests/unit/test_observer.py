"""The observer on its real pipes: what arrives from both sides becomes one stream."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labctl.node import local_pipes
from labctl.node.beat_services import wait_until
from labctl.node.beats import PHASE_RUN, Beat, Hello, Load, Report
from labctl.node.observer import Observer
from labctl.node.protocol import RequestError
from labctl.results.raw import beat_dtype
from tests.unit.test_beats import encoded

NONCE = 0xC0FFEE42


class Stage:
    """An observer and both ends of what it listens to."""

    def __init__(self, folder: Path, **relayed: Any) -> None:
        self._changed = threading.Condition()
        self.observer = Observer(folder, NONCE, self._notify, **relayed)
        self.pipes: dict[str, int] = {}

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def send(self, side: str, data: bytes) -> None:
        if side not in self.pipes:
            self.pipes[side] = local_pipes.open_to_write(self.observer.paths[side])
        assert os.write(self.pipes[side], data) == len(data)

    def until(self, met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        with self._changed:
            while not met():
                assert time.monotonic() < deadline
                self._changed.wait(0.01)

    def close(self) -> None:
        self.observer.close()
        for each in self.pipes.values():
            os.close(each)

    def taken(self) -> list[tuple[str, int, list[int]]]:
        """Every beat: side, sequence number, work."""
        taken = self.observer.take()
        found = np.frombuffer(taken["records"], beat_dtype(taken["vcpus"]))
        sides = ("source", "destination")
        return [(sides[b["side"]], int(b["seq"]), list(map(int, b["work"]))) for b in found]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()
    assert list(tmp_path.iterdir()) == [], "no pipe is left behind"
    assert not any(thread.name == "beats" for thread in threading.enumerate())


def beat(seq: int, *work: int, nonce: int = NONCE, phase: int = PHASE_RUN) -> bytes:
    return encoded(Beat(nonce, seq, seq * 1000, phase, work or (seq,)))


def test_beats_of_both_sides_become_one_stream(stage: Stage) -> None:
    stage.send("source", beat(1) + beat(2))
    stage.until(lambda: stage.observer.count["source"] == 2)
    stage.send("destination", beat(3))
    stage.until(lambda: stage.observer.count["destination"] == 1)
    assert stage.taken() == [("source", 1, [1]), ("source", 2, [2]), ("destination", 3, [3])]


@pytest.mark.parametrize("place", [1, 3, 4, 17, 28])
def test_a_beat_that_the_migration_cut_is_not_lost(stage: Stage, place: int) -> None:
    """It belongs to the destination, where its last byte came from."""
    whole = beat(2)
    stage.send("source", beat(1) + whole[:place])
    stage.until(lambda: len(stage.observer._parsers["source"].tail) == place)
    stage.send("destination", whole[place:] + beat(3))
    stage.until(lambda: stage.observer.count["destination"] == 2)
    assert stage.taken() == [("source", 1, [1]), ("destination", 2, [2]), ("destination", 3, [3])]
    assert stage.observer.take()["skipped_bytes"] == {"source": 0, "destination": 0}


def test_only_the_first_bytes_of_the_destination_continue_the_source(stage: Stage) -> None:
    stage.send("destination", beat(1))
    stage.until(lambda: stage.observer.count["destination"] == 1)
    stage.send("source", beat(2)[:10])
    stage.until(lambda: len(stage.observer._parsers["source"].tail) == 10)
    stage.send("destination", beat(3))
    stage.until(lambda: stage.observer.count["destination"] == 2)
    assert [seq for _, seq, _ in stage.taken()] == [1, 3]


def test_what_another_guest_says_is_counted_and_left_out(stage: Stage) -> None:
    stage.send("source", beat(1, nonce=7) + beat(2) + beat(3, 1, 2))
    stage.until(lambda: stage.observer.foreign == 2)
    assert stage.taken() == [("source", 2, [2])]


def test_hello_and_reports_are_known_by_name(stage: Stage) -> None:
    hello = Hello(NONCE, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1)
    report = Report(NONCE, 1, 2, 100, 1, 0x5000, 0, 0)
    stage.send("source", encoded(hello) + encoded(report))
    stage.until(lambda: bool(stage.observer.reports))
    state = stage.observer.state()
    assert state["hello"]["ws_bytes"] == 4
    assert state["reports"][0] | {"t_ns": 0} == report._asdict() | {"side": "source", "t_ns": 0}


def test_the_last_load_is_known(stage: Stage) -> None:
    assert stage.observer.state()["load"] is None
    loads = [Load(NONCE, n, n, 1, 10 * n, n, ((10, 10 * n, 7 * n),)) for n in (1, 2)]
    stage.send("source", b"".join(map(encoded, loads)))
    stage.until(lambda: (stage.observer.load or {}).get("seq") == 2)
    known = stage.observer.state()["load"]
    assert known | {"t_ns": 0} == loads[1]._asdict() | {"side": "source", "t_ns": 0}


def test_the_write_rate_is_the_guests_own_count(stage: Stage) -> None:
    assert stage.observer.write_rate(0)["bytes_per_s"] is None
    stage.send("source", beat(1, 2**32 - 100, phase=1))
    stage.send("source", beat(2, 2**32 - 50))
    stage.until(lambda: stage.observer.count["source"] == 2)
    stage.send("source", beat(3, 50))
    stage.until(lambda: stage.observer.count["source"] == 3)
    rate = stage.observer.write_rate(0)
    assert rate["bytes_per_s"] * rate["seconds"] == pytest.approx(100 * 4096)
    assert rate["beats"] == 2


class TestStamps:
    """A guest whose clock counts a tick a microsecond; its beat n is sent at n ms."""

    @pytest.fixture
    def known(self, stage: Stage) -> Stage:
        hello = Hello(NONCE, 0, 1_000_000, 3, 4, 5, 6, 7, 8, 9, 10, 1)
        stage.send("source", encoded(hello))
        stage.until(lambda: bool(stage.observer.hello))
        return stage

    def stamps_ms(self, stage: Stage, count: int, side: str = "source") -> list[float]:
        stage.until(lambda: stage.observer.count[side] == count)
        taken = stage.observer.take()
        found = np.frombuffer(taken["records"], beat_dtype(taken["vcpus"]))
        return [float(t_ns) / 1e6 for t_ns in found["t_ns"]]

    def test_beats_that_were_read_together_lie_as_far_apart_as_the_guest_says(
        self, known: Stage
    ) -> None:
        known.send("source", b"".join(beat(seq) for seq in (10, 11, 13, 14)))
        first, *others = self.stamps_ms(known, 4)
        assert [other - first for other in others] == pytest.approx([1, 3, 4])

    def test_none_is_stamped_after_it_was_read(self, known: Stage) -> None:
        """All of them came at once, so the last cannot have come 100 ms after the first."""
        known.send("source", beat(10) + beat(110))
        stamps = self.stamps_ms(known, 2)
        assert stamps[1] <= time.monotonic_ns() / 1e6
        assert stamps[1] - stamps[0] == pytest.approx(100)

    def test_the_first_byte_after_a_gap_is_stamped_when_it_is_heard(self, known: Stage) -> None:
        """What follows it gathers, and does not make it later."""
        known.send("source", beat(10))
        self.stamps_ms(known, 1)
        time.sleep(0.05)
        sent_ms = time.monotonic_ns() / 1e6
        known.send("source", beat(11))
        known.send("source", beat(12))
        before, after, next_ = self.stamps_ms(known, 3)
        assert before < sent_ms - 40
        assert sent_ms <= after
        assert next_ - after == pytest.approx(1)

    def test_a_guest_whose_clock_stood_still_is_stamped_anew(self, known: Stage) -> None:
        """Stopped for 50 ms by QEMU, it goes on counting where it was."""
        known.send("source", beat(10))
        self.stamps_ms(known, 1)
        time.sleep(0.05)
        known.send("source", beat(11))
        before, after = self.stamps_ms(known, 2)
        assert after - before >= 50

    def test_a_beat_that_a_pause_cut_does_not_move_those_after_it(self, known: Stage) -> None:
        """The guest's clock ran on while the kernel held QEMU, between this beat's first bytes and its last."""
        known.send("source", beat(8) + beat(10)[:7])
        self.stamps_ms(known, 1)
        time.sleep(0.05)
        sent_ms = time.monotonic_ns() / 1e6
        known.send("source", beat(10)[7:] + beat(61) + beat(62))
        _, _, after, next_ = self.stamps_ms(known, 4)
        assert sent_ms - 2 <= after <= time.monotonic_ns() / 1e6
        assert next_ - after == pytest.approx(1)

    def test_a_beat_that_the_guest_began_on_the_source_came_when_it_was_heard(
        self, known: Stage
    ) -> None:
        """Its clock was read 20 ms before the guest, which wrote nothing meanwhile, was stopped; those after it say when they came."""
        known.send("source", beat(10))
        self.stamps_ms(known, 1)
        time.sleep(0.005)
        sent_ms = time.monotonic_ns() / 1e6
        known.send("destination", beat(11) + beat(31) + beat(32))
        source, first, second, third = self.stamps_ms(known, 3, "destination")
        assert source < sent_ms - 4
        assert sent_ms <= first <= second <= third <= time.monotonic_ns() / 1e6
        assert third - second == pytest.approx(1)

    def test_the_destination_is_not_heard_before_the_source(self, known: Stage) -> None:
        """Both had written when the observer came to it."""
        known.send("source", beat(10) + beat(11))
        known.send("destination", beat(12) + beat(50))
        known.until(lambda: known.observer.count["source"] == 2)
        *_, last, first, _ = self.stamps_ms(known, 2, "destination")
        assert last <= first

    def test_stamps_never_go_back(self, known: Stage) -> None:
        known.send("source", beat(10))
        first = self.stamps_ms(known, 1)[0]
        known.send("source", beat(11) + beat(500))
        assert min(self.stamps_ms(known, 3)[1:]) >= first

    def test_the_other_side_is_heard_while_one_gathers(self, known: Stage) -> None:
        known.send("source", beat(10))
        time.sleep(0.002)
        known.send("destination", beat(11))
        known.until(lambda: known.observer.count["destination"] == 1)
        source, destination = self.stamps_ms(known, 1)
        assert destination - source >= 2


def wait_for_beat(observer: Observer, timeout_s: float) -> None:
    async def wait() -> None:
        def met() -> bool:
            return observer.count["source"] > 0

        await wait_until(observer, met, asyncio.Event(), "the first beat", timeout_s, poll_s=0.01)

    asyncio.run(wait())


def test_a_wait_has_a_name_and_a_time_out(stage: Stage) -> None:
    with pytest.raises(RequestError, match=r"the first beat: not within 0\.05 s") as raised:
        wait_for_beat(stage.observer, 0.05)
    assert raised.value.code == "timeout"


def test_a_wait_ends_when_the_observer_is_closed(stage: Stage) -> None:
    stage.observer.close()
    with pytest.raises(RequestError, match="the observer was closed") as raised:
        wait_for_beat(stage.observer, 30)
    assert raised.value.code == "order"


def test_a_fault_in_the_receiver_reaches_whoever_waits(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(stage.observer, "_beat", broken)
    stage.send("source", beat(1))
    with pytest.raises(RequestError, match="a bug") as raised:
        wait_for_beat(stage.observer, 30)
    assert raised.value.code == "bug"


def test_a_pipe_that_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "left.pipe")
    os.close(local_pipes.make(path))
    reading = local_pipes.make(path)
    writing = local_pipes.open_to_write(path)
    os.write(writing, b"x")
    assert os.read(reading, 10) == b"x"
    assert Path(path).stat().st_mode & 0o777 == 0o600
    os.close(writing)
    os.close(reading)


def test_nobody_writes_to_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    path = str(tmp_path / "unread.pipe")
    os.close(local_pipes.make(path))
    with pytest.raises(OSError, match="No such device or address"):
        local_pipes.open_to_write(path)


def test_a_late_observer_does_not_stop_the_guest(tmp_path: Path) -> None:
    """A second of beats, byte by byte as a guest's port gives them, finds room before anybody reads."""
    path = str(tmp_path / "late.pipe")
    reading = local_pipes.make(path)
    writing = local_pipes.open_to_write(path)
    for byte in beat(1) * 2000:
        assert os.write(writing, bytes([byte])) == 1
    os.close(writing)
    os.close(reading)
