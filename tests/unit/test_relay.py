"""The relay: beats of another host, over a real connection, on the observer's one clock."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from labctl.node import local_pipes, relay
from labctl.node.beat_services import wait_until
from labctl.node.beats import Hello
from labctl.node.inlets import KNOWN_AFTER, ClockComparison
from labctl.node.protocol import RequestError
from labctl.node.relay import Relay
from tests.unit.test_beats import encoded
from tests.unit.test_observer import NONCE, Stage, beat

HOST = "127.0.0.1"
APART_NS = 1000 * 10**9


class RelayedStage(Stage):
    """An observer whose sides may be relayed, by relays in this process."""

    def __init__(self, folder: Path, relayed: tuple[str, ...]) -> None:
        super().__init__(folder, door_address=HOST, relayed=relayed)
        theirs = folder / "theirs"
        theirs.mkdir()
        door = self.observer.door
        assert door is not None
        self.relays = {
            side: Relay(theirs, NONCE, side, HOST, door.port, door.token) for side in relayed
        }
        for side, each in self.relays.items():
            self.pipes[side] = local_pipes.open_to_write(each.path)
        self.until(lambda: self.observer.compared)

    def close(self) -> None:
        super().close()
        for each in self.relays.values():
            each.close()


@pytest.fixture(params=[("source",), ("destination",), ("source", "destination")])
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RelayedStage]:
    made = RelayedStage(tmp_path, request.param)
    yield made
    made.close()
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


@pytest.fixture
def from_source(tmp_path: Path) -> Iterator[RelayedStage]:
    made = RelayedStage(tmp_path, ("source",))
    yield made
    made.close()


def test_beats_of_both_sides_become_one_stream(stage: RelayedStage) -> None:
    stage.send("source", beat(1) + beat(2))
    stage.until(lambda: stage.observer.count["source"] == 2)
    stage.send("destination", beat(3))
    stage.until(lambda: stage.observer.count["destination"] == 1)
    assert stage.taken() == [("source", 1, [1]), ("source", 2, [2]), ("destination", 3, [3])]


@pytest.mark.parametrize("place", [1, 3, 4, 17, 28])
def test_a_beat_that_the_migration_cut_is_not_lost(stage: RelayedStage, place: int) -> None:
    """Though its head is still with the relay when its tail comes: the relay is asked for it first."""
    whole = beat(2)
    stage.send("source", beat(1) + whole[:place])
    stage.send("destination", whole[place:] + beat(3))
    stage.until(lambda: stage.observer.count["destination"] == 2)
    assert stage.taken() == [("source", 1, [1]), ("destination", 2, [2]), ("destination", 3, [3])]
    assert stage.observer.take()["skipped_bytes"] == {"source": 0, "destination": 0}


def test_a_beat_is_stamped_when_it_came_from_the_guest(from_source: RelayedStage) -> None:
    """Not when it came over the network."""
    observer = from_source.observer
    from_source.send("source", encoded(Hello(NONCE, 0, 1_000_000, 3, 4, 5, 6, 7, 8, 9, 10, 1)))
    from_source.until(lambda: bool(observer.hello))
    before_ns = time.monotonic_ns()
    from_source.send("source", beat(1))
    after_ns = time.monotonic_ns()
    from_source.until(lambda: observer.count["source"] == 1)
    unsure_ns = observer.clocks["source"]["uncertainty_ns"]
    # The relay is a thread of this process and wakes within some milliseconds; what it brings comes 10 ms later.
    assert before_ns - unsure_ns <= observer.last_ns["source"] <= after_ns + unsure_ns + 8_000_000


def test_clocks_that_are_far_apart_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = SimpleNamespace(monotonic_ns=lambda: time.monotonic_ns() + APART_NS)
    monkeypatch.setattr(relay, "time", theirs)
    stage = RelayedStage(tmp_path, ("source",))
    clock = stage.observer.clocks["source"]
    assert 0 < clock["uncertainty_ns"] < 5_000_000
    assert abs(clock["offset_ns"] + APART_NS) <= clock["uncertainty_ns"]
    before_ns = time.monotonic_ns()
    stage.send("source", beat(1))
    stage.until(lambda: stage.observer.count["source"] == 1)
    stage.close()
    stamped_ns = stage.observer.last_ns["source"]
    assert before_ns - clock["uncertainty_ns"] <= stamped_ns <= time.monotonic_ns()


def test_the_shortest_answer_is_believed() -> None:
    clock = ClockComparison()
    clock.add(asked_ns=1000, theirs_ns=0, got_ns=9000)  # 8000 there and back
    clock.add(asked_ns=20_000, theirs_ns=15_100, got_ns=20_400)
    assert (clock.behind_ns, clock.uncertainty_ns) == (5100, 200)
    known = [clock.known]
    for _ in range(KNOWN_AFTER):
        clock.add(asked_ns=0, theirs_ns=0, got_ns=10_000)
    assert [*known, clock.known] == [False, True]
    assert (clock.behind_ns, clock.uncertainty_ns) == (5100, 200)
    for _ in range(32):
        clock.add(asked_ns=0, theirs_ns=0, got_ns=10_000)
    assert clock.behind_ns == 5000, "old answers are forgotten: clocks drift"


def test_who_does_not_know_the_token_is_sent_away(tmp_path: Path) -> None:
    stage = Stage(tmp_path, door_address=HOST, relayed=("source",))
    door = stage.observer.door
    assert door is not None
    for greeting in (
        bytes(16) + b"\0",
        bytes.fromhex(door.token) + b"\7",
        b"GET / HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection((HOST, door.port), 5) as stranger:
            stranger.sendall(greeting)
            stranger.settimeout(5)
            with suppress(ConnectionResetError):
                assert stranger.recv(1) == b""
    right = Relay(tmp_path, NONCE, "source", HOST, door.port, door.token)
    stage.until(lambda: stage.observer.compared)
    right.close()
    stage.close()


def test_a_relay_that_goes_away_is_told_to_who_waits(from_source: RelayedStage) -> None:
    from_source.relays["source"].close()
    from_source.until(lambda: from_source.observer.fault is not None)

    async def waits() -> None:
        await wait_until(from_source.observer, lambda: False, asyncio.Event(), "a beat", 5)

    with pytest.raises(
        RequestError, match="the relay of the source's beats: its connection"
    ) as told:
        asyncio.run(waits())
    assert told.value.code == "relay"


def test_no_observer_no_relay(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(RequestError, match=f"the observer at {HOST} port {port} does not answer"):
        Relay(tmp_path, NONCE, "source", HOST, port, "00" * 16)
    assert list(tmp_path.iterdir()) == []
