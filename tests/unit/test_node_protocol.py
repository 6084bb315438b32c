"""Messages as lines, and what the controller's end of a channel makes of them."""

import json
import logging
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.errors import LabHeld, NodeError, NodeLost, WaitTimeout
from labctl.lab.node import Node
from labctl.node.protocol import decode, encode, event, failure, pack, response, unpack

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=10,
)  # fmt: skip
messages = st.dictionaries(st.text(), values, max_size=5)


@given(messages)
def test_a_message_is_one_line_and_comes_back(message: dict[str, Any]) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == message


@given(st.binary(max_size=1000))
def test_binary_travels_as_text(data: bytes) -> None:
    assert unpack(decode(encode({"data": pack(data)}))["data"]) == data


@pytest.mark.parametrize("line", [b"", b"\n", b"[]\n", b"7\n", b"{\n", b"\xff\n", b"null\n"])
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own and ours
        decode(line)


def test_the_documented_forms() -> None:
    assert response(7, {"a": 1}) == {"id": 7, "ok": {"a": 1}}
    assert failure(7, "qmp", "no") == {"id": 7, "error": {"code": "qmp", "message": "no"}}
    assert event("progress") == {"event": "progress", "data": {}}


class Wire:
    """A channel whose other end is the test."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.refuse: OSError | None = None
        self.words = ""
        self._lines: queue.Queue[bytes] = queue.Queue()

    def send(self, line: bytes) -> None:
        if self.refuse:
            raise self.refuse
        self.sent.append(json.loads(line))

    def receive(self) -> bytes:
        return self._lines.get()

    def close(self, timeout_s: float) -> None:
        assert timeout_s > 0
        self.say(b"")

    def last_words(self) -> str:
        return self.words

    def say(self, line: bytes | dict[str, Any]) -> None:
        self._lines.put(line if isinstance(line, bytes) else encode(line))


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def node(wire: Wire) -> Iterator[Node]:
    made = Node("a", wire)
    yield made
    made.close()
    assert not made._reader.is_alive()


def test_answers_find_their_requests_in_any_order(node: Node, wire: Wire) -> None:
    first, second = node.begin("one", x=1), node.begin("two")
    assert [(m["do"], m["with"]) for m in wire.sent] == [("one", {"x": 1}), ("two", {})]
    wire.say(response(wire.sent[1]["id"], "second"))
    wire.say(response(wire.sent[0]["id"], "first"))
    assert node.result(first, "one", 5) == "first"
    assert node.result(second, "two", 5) == "second"


def test_an_answer_is_waited_for_as_long_as_the_lab_is_patient(wire: Wire) -> None:
    node = Node("a", wire, patience=4)
    began = time.monotonic()
    with pytest.raises(WaitTimeout, match=r"waiting for one took longer than .* 0\.2 s"):
        node.call("one", wait_s=0.05)
    assert time.monotonic() - began >= 0.2
    node.close()


def test_a_failure_has_the_nodes_code_and_place(node: Node, wire: Wire) -> None:
    asked = node.begin("machine.start")
    wire.say(failure(wire.sent[0]["id"], "qemu-died", "no such machine"))
    with pytest.raises(NodeError, match="node a: no such machine") as raised:
        node.result(asked, "start", 5)
    assert raised.value.code == "qemu-died"
    assert not node.lost


def test_a_held_host_is_an_error_of_its_own(node: Node, wire: Wire) -> None:
    asked = node.begin("hello")
    wire.say(failure(wire.sent[0]["id"], "held", "held by run x"))
    with pytest.raises(LabHeld, match="the host is held by run x") as raised:
        node.result(asked, "hello", 5)
    assert raised.value.exit_code == 3
    assert "--share" in (raised.value.mend or "")


def test_the_end_of_the_channel_ends_every_request(node: Node, wire: Wire) -> None:
    wire.words = "Traceback: out of memory"
    asked = [node.begin("one"), node.begin("two")]
    wire.say(b"")
    for future in asked:
        with pytest.raises(NodeLost, match="node a: its agent has ended: Traceback: out of memory"):
            node.result(future, "x", 5)
    assert node.lost
    with pytest.raises(NodeLost):
        node.begin("three")


def test_what_is_no_message_is_kept_for_the_last_words(node: Node, wire: Wire) -> None:
    """A login's banner costs nothing, and where no message follows it says why."""
    asked = node.begin("one")
    wire.say(b"This account is not available.\n")
    wire.say(b'{"level": "warning"}\n')
    wire.say(response(wire.sent[0]["id"], "fine"))
    assert node.result(asked, "one", 5) == "fine"
    asked = node.begin("two")
    wire.say(b"")
    with pytest.raises(NodeLost, match="This account is not available"):
        node.result(asked, "two", 5)


def test_a_channel_that_takes_no_request_is_lost(node: Node, wire: Wire) -> None:
    wire.refuse = BrokenPipeError("Broken pipe")
    with pytest.raises(NodeLost, match="it cannot be reached: Broken pipe"):
        node.call("one")
    assert node.lost


def test_a_wait_has_a_name_and_the_node_counts_as_lost_after_it(node: Node, wire: Wire) -> None:
    with pytest.raises(WaitTimeout, match=r"node a: waiting for one took longer than .* 0\.02 s"):
        node.call("one", wait_s=0.02)
    assert node.lost
    with pytest.raises(NodeLost, match="it did not answer: waiting for one"):
        node.call("two")
    wire.say(response(wire.sent[0]["id"], "too late"))  # and is dropped


def test_something_else_may_end_a_wait(node: Node, wire: Wire) -> None:
    died: Future[NoReturn] = Future()
    asked = node.begin("observe.wait")
    died.set_exception(NodeError("QEMU ended"))
    with pytest.raises(NodeError, match="QEMU ended"):
        node.result(asked, "beats", 30, unless=[died])
    assert not node.lost
    answered = node.begin("observe.wait")
    wire.say(response(wire.sent[1]["id"], "beats"))
    assert answered.result(5) == "beats"
    assert node.result(answered, "beats", 5, unless=[died]) == "beats", "an answer that came counts"


def test_a_wait_on_one_node_ends_when_another_one_is_lost(node: Node) -> None:
    other_wire = Wire()
    other = Node("b", other_wire)
    asked = node.begin("observe.wait")
    other_wire.say(b"")
    with pytest.raises(NodeLost, match="node b: its agent has ended"):
        node.result(asked, "beats", 30, unless=[other.over])
    assert (node.lost, other.lost) == (False, True)


def test_events_are_told_in_order_and_a_listener_that_fails_silences_nothing(
    node: Node, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []

    def listen(name: str, data: dict[str, Any]) -> None:
        heard.append(data["n"])
        if data["n"] == 1:
            raise ZeroDivisionError("a listener's bug")

    node.on_event = listen
    with caplog.at_level(logging.ERROR):
        for number in range(3):
            wire.say(event("progress", {"n": number}))
        asked = node.begin("one")
        wire.say(response(wire.sent[0]["id"], "fine"))
        assert node.result(asked, "one", 5) == "fine"
    assert heard == [0, 1, 2]
    assert "a listener's bug" in caplog.text


def test_many_threads_may_ask_at_once(node: Node, wire: Wire) -> None:
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(node.call("one", n=n)))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    done: set[int] = set()
    while len(done) < 20:
        for message in wire.sent[len(done) :]:
            wire.say(response(message["id"], message["with"]["n"]))
            done.add(message["id"])
    for thread in threads:
        thread.join(10)
    assert sorted(answers) == list(range(20))
