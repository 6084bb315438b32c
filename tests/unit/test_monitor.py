"""The question asked again and again: what of QEMU's words is an answer, and when."""

import itertools
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest

from labctl.node import monitor, procfs

GREETING = b'{"QMP": {"version": {}, "capabilities": ["oob"]}}\r\n'
AGREED = b'{"return": {}}\r\n'
EVENT = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}\r\n'
ANSWER = b'{"return": {"status": "active"}}\r\n'


class Stage:
    """A question, and the end that QEMU would have."""

    def __init__(self) -> None:
        ours, self.qemu = socket.socketpair()
        self.question = monitor.Question(ours, "query-migrate")
        self._ours = ours
        self._clock = itertools.count(1000)

    def hear(self, said: bytes) -> monitor.Reply | None:
        self.qemu.sendall(said)
        return self.question.receive(self._clock.__next__)

    def close(self) -> None:
        self._ours.close()
        self.qemu.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    with closing(Stage()) as made:
        made.question.negotiate(1)
        assert json.loads(made.qemu.recv(4096)) == {"execute": "qmp_capabilities"}
        yield made


def test_an_answer_has_its_three_times(stage: Stage) -> None:
    assert stage.hear(GREETING + AGREED) is None
    stage.question.ask(10, 11)
    assert json.loads(stage.qemu.recv(4096)) == {"execute": "query-migrate"}
    reply = stage.hear(ANSWER)
    assert reply is not None
    assert reply[:3] == (10, 11, 1001)
    assert monitor.read(reply.line) == {"status": "active"}


def test_an_answer_in_pieces_among_events(stage: Stage) -> None:
    said = GREETING + AGREED
    assert stage.hear(said[:20]) is None
    assert stage.hear(said[20:]) is None
    stage.question.ask(10, 11)
    said = EVENT + ANSWER + EVENT
    assert stage.hear(said[:90]) is None
    assert stage.question.asked_ns == 11
    assert stage.hear(said[90:]) is not None
    assert stage.question.asked_ns == 0


def test_one_answer_at_a_time(stage: Stage) -> None:
    """A tick that finds the last question unanswered asks nothing, and keeps its times."""
    stage.hear(GREETING + AGREED)
    stage.question.ask(10, 11)
    stage.question.ask(20, 21)
    assert stage.qemu.recv(4096).count(b"query-migrate") == 1
    reply = stage.hear(ANSWER)
    assert reply is not None
    assert (reply.due_ns, reply.request_ns) == (10, 11)


def test_what_qemu_refuses_is_said(stage: Stage) -> None:
    stage.hear(GREETING + AGREED)
    stage.question.ask(10, 11)
    reply = stage.hear(b'{"id": 1, "error": {"class": "GenericError", "desc": "no"}}\r\n')
    assert reply is not None
    assert monitor.read(reply.line) == {"error": "no"}


def test_a_qemu_that_has_ended_is_asked_no_more(stage: Stage) -> None:
    stage.qemu.close()
    assert stage.question.receive(clock) is None
    assert not stage.question.open
    stage.question.ask(10, 11)


def clock() -> int:
    return 1


def test_counters_of_a_process_and_of_one_that_has_ended() -> None:
    with (
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        closing(procfs.ProcessCounters(process.pid)) as counters,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"!")
        process.stdin.flush()
        assert process.stdout.read(1) == b"!", "it has used the CPU"
        counters.relist()
        ((tid, said),) = counters.threads()
        assert tid == process.pid
        assert procfs.thread_times(counters.names[tid], said).cpu_ns > 0
        assert counters.resident_bytes() > 0
        process.kill()
        process.wait()
        assert counters.threads() == []
        assert counters.resident_bytes() == 0


def test_counters_of_this_process_agree_with_its_clock() -> None:
    with closing(procfs.ProcessCounters(os.getpid())) as counters:
        counters.relist()
        total = sum(procfs.thread_times("", said).cpu_ns for _, said in counters.threads())
    assert 0 < total <= procfs.process_cpu_ns(os.getpid())


def test_counters_of_an_interface() -> None:
    with closing(procfs.InterfaceCounters("lo")) as link:
        before = link.read()
        assert link.read() >= before
    with closing(procfs.InterfaceCounters("nosuch0")) as link:
        assert link.read() == (0, 0)
