"""A lab's pairs are opened and closed side by side, and what cannot be opened is named, each pair of it."""

import threading
import time
from collections.abc import Callable

import pytest

from labctl.errors import LabctlError, LabError, LabHeld, NodeError, NodeLost
from labctl.lab import Pair
from labctl.lab.fake import fake_lab
from labctl.lab.lab import Lab
from labctl.lab.node import Node

PAIRS = tuple(f"pair{number}" for number in range(20))
LIMIT_S = 20.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def refusing(faults: dict[str, LabctlError]) -> Callable[[str], LabctlError | None]:
    return faults.get


def test_twenty_pairs_are_opened_at_once_and_stand_in_the_labs_order() -> None:
    together = threading.Barrier(len(PAIRS))

    def meet(pair: str) -> None:
        if len(lab.channels) < 3 * len(PAIRS):
            together.wait(LIMIT_S)
        if pair == PAIRS[0]:
            until(lambda: len(lab.pairs) == len(PAIRS) - 1)

    lab = fake_lab(pairs=PAIRS, openings=meet)
    with lab:
        assert tuple(lab.pairs) == PAIRS
        assert tuple(lab.environment()["pairs"]) == PAIRS
        lab.reopen(PAIRS[0])
        assert tuple(lab.pairs) == PAIRS
    assert lab.pairs == {}
    assert all(channel.closed for channel in lab.channels)


def test_pairs_are_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(len(PAIRS))
    real = Node.close

    def meet(node: Node) -> None:
        if node.name == "observer":
            together.wait(LIMIT_S)
        real(node)

    monkeypatch.setattr(Node, "close", meet)
    with fake_lab(pairs=PAIRS) as lab:
        pass
    assert not together.broken
    assert all(channel.closed for channel in lab.channels)


def test_one_pair_that_cannot_be_opened_is_told_as_it_is() -> None:
    fault = LabHeld("the host is held by run x", place="node c", mend="wait")
    lab = fake_lab(pairs=PAIRS, openings=refusing({PAIRS[1]: fault}))
    with pytest.raises(LabHeld) as raised, lab:
        pass
    assert raised.value is fault
    assert len(lab.channels) == 3 * (len(PAIRS) - 1)
    assert all(channel.closed for channel in lab.channels)


def test_all_pairs_that_cannot_be_opened_are_named_with_their_mends() -> None:
    faults = {
        PAIRS[4]: NodeLost("it is gone", place="node e"),
        PAIRS[1]: LabHeld("the host is held by run x", place="node c", mend="wait"),
        PAIRS[2]: NodeError("no memory", place="node d", mend="buy some"),
    }
    lab = fake_lab(pairs=PAIRS, openings=refusing(faults))
    with pytest.raises(LabError) as raised, lab:
        pass
    assert str(raised.value).splitlines() == [
        "3 of 20 pairs cannot be opened:",
        "  pair pair1: node c: the host is held by run x",
        "    mend: wait",
        "  pair pair2: node d: no memory",
        "    mend: buy some",
        "  pair pair4: node e: it is gone",
    ]
    assert raised.value.exit_code == 3
    assert not isinstance(raised.value, LabHeld), "to wait would not help"
    assert all(channel.closed for channel in lab.channels)


def test_a_lab_whose_pairs_are_all_held_is_held() -> None:
    lab = fake_lab(pairs=PAIRS[:2], openings=lambda _pair: LabHeld("held", place="node c"))
    with pytest.raises(LabHeld, match="2 of 2 pairs cannot be opened"), lab:
        pass


def test_a_fault_of_our_own_is_not_taken_for_the_labs() -> None:
    def broken() -> Pair:
        raise ZeroDivisionError("a bug")

    def held() -> Pair:
        raise LabHeld("held")

    with pytest.raises(ZeroDivisionError, match="a bug"), Lab("x", {"a": held, "b": broken}):
        pass


def test_ctrl_c_while_pairs_are_opened_closes_what_is_open_and_what_comes_too_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = set(threading.enumerate())
    go_on = threading.Event()

    def slow(pair: str) -> None:
        assert pair != "slow" or go_on.wait(LIMIT_S)

    def pressed(_queue: object) -> str:
        """Ctrl-C arrives where the main thread waits."""
        until(lambda: "quick" in lab.pairs)
        raise KeyboardInterrupt

    class Pressed:
        def put(self, _name: str) -> None:
            pass

        get = pressed

    lab = fake_lab(pairs=("quick", "slow"), openings=slow)
    monkeypatch.setattr("labctl.lab.together.SimpleQueue", Pressed)
    with pytest.raises(KeyboardInterrupt), lab:
        pass
    assert len(lab.channels) == 3
    assert all(channel.closed for channel in lab.channels)
    go_on.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(LIMIT_S)
    assert set(threading.enumerate()) <= before
    assert len(lab.channels) == 6
    assert all(channel.closed for channel in lab.channels)
    assert lab.pairs == {}
