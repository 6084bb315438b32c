"""The machine's services on a stub QEMU: one machine at a time, and none that is forgotten."""

import asyncio
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest

from labctl.node import host, machine_services, sampler
from labctl.node.machine_services import MachineServices
from labctl.node.protocol import RequestError
from labctl.node.services import Place


class StubMachine:
    """As much of a machine as its services touch."""

    started: ClassVar["list[StubMachine]"] = []
    start_takes_s = 0.0
    dies_when_killed = True
    first_pid = 4_000_000

    def __init__(self) -> None:
        self.pid = StubMachine.first_pid + len(StubMachine.started)
        self.argv = ["qemu"]
        self.user = "nobody"
        self.ended = asyncio.Event()
        self.gave_up = asyncio.Event()
        self.guest_words = ""
        self.returncode: int | None = None
        self.events = [{"t_ns": 3}, {"t_ns": 1}]
        self.commands = [{"t_ns": 2}]
        self.hooks: list[Any] = []
        self.sampling_monitor, self._theirs = socket.socketpair()

    @classmethod
    async def start(cls, _spec: Any, _log: Path, _timeout_s: float) -> "StubMachine":
        await asyncio.sleep(cls.start_takes_s)
        cls.started.append(cls())
        threading.Thread(target=cls.started[-1].answer, daemon=True).start()
        return cls.started[-1]

    async def execute(self, command: str, *_arguments: Any, **_named: Any) -> Any:
        if command == "query-cpus-fast":
            return [{"thread-id": 1}]
        raise AssertionError(command)

    def answer(self) -> None:
        """Answer what the sampler asks as QEMU does: a greeting first, an event now and then, replies in pieces."""
        transferred = itertools.count()
        reading = self._theirs.makefile("rb")
        say = self._theirs.sendall
        with suppress(OSError):
            say(b'{"QMP": {"version": {}, "capabilities": ["oob"]}}\r\n')
            for line in reading:
                if json.loads(line)["execute"] == "qmp_capabilities":
                    say(b'{"return": {}}\r\n')
                    continue
                say(b'{"timestamp": {"seconds": 1}, "event": "MIGRATION_PASS"}\r\n{"return": ')
                ram = {"transferred": next(transferred)}
                say(json.dumps({"status": "active", "ram": ram}).encode() + b"}\r\n")

    def memlock_bytes(self) -> str:
        return "unlimited"

    def log_tail(self) -> str:
        return "words"

    async def end(self) -> bool:
        self.ended.set()
        self.sampling_monitor.close()
        self._theirs.shutdown(socket.SHUT_RDWR)
        self._theirs.close()
        return self.dies_when_killed


@pytest.fixture(autouse=True)
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "STATE_ROOT", tmp_path)
    monkeypatch.setattr(machine_services, "Machine", StubMachine)
    monkeypatch.setattr(StubMachine, "started", [])


def play(
    story: Callable[[MachineServices], Coroutine[Any, Any, None]],
) -> list[dict[str, Any]]:
    """Let a story happen to the services; the events they sent."""
    sent: list[dict[str, Any]] = []

    async def scene() -> None:
        place = Place("run", "a")
        place.open()
        services = MachineServices(place, sent.append)
        await story(services)
        await services.close()
        place.close()

    asyncio.run(scene())
    return sent


START = {"machine": {"name": "source"}, "timeout_s": 5}


def test_a_machine_is_noted_while_it_lives(tmp_path: Path) -> None:
    async def story(services: MachineServices) -> None:
        said = await services.handlers["machine.start"](START)
        state = (tmp_path / "run" / "a.json").read_text()
        assert f'"pid": {said["pid"]}' in state
        with pytest.raises(RequestError, match="already has a machine"):
            await services.handlers["machine.start"](START)
        ended = await services.handlers["machine.end"]({})
        assert [event["t_ns"] for event in ended["events"]] == [1, 2, 3]
        assert (ended["log"], ended["died"]) == ("words", False)
        assert str(said["pid"]) not in (tmp_path / "run" / "a.json").read_text()
        assert (await services.handlers["machine.end"]({}))["events"] == []

    assert play(story) == [], "an end that was asked for is no news"


def test_an_end_that_overtakes_the_start_still_ends_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the trial's other side failing would leave a machine that every later trial trips over."""
    monkeypatch.setattr(StubMachine, "start_takes_s", 0.05)

    async def story(services: MachineServices) -> None:
        starting = asyncio.ensure_future(services.handlers["machine.start"](START))
        await asyncio.sleep(0)
        await services.handlers["machine.end"]({})
        await starting
        (machine,) = StubMachine.started
        assert machine.ended.is_set()
        await services.handlers["machine.start"](START)

    play(story)


def test_two_starts_at_once_make_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StubMachine, "start_takes_s", 0.02)

    async def story(services: MachineServices) -> None:
        start = services.handlers["machine.start"]
        results = await asyncio.gather(start(START), start(START), return_exceptions=True)
        assert [isinstance(result, RequestError) for result in results] == [False, True]
        assert len(StubMachine.started) == 1

    play(story)


def test_a_machine_that_ends_by_itself_is_told() -> None:
    async def story(services: MachineServices) -> None:
        await services.handlers["machine.start"](START)
        machine = StubMachine.started[0]
        machine.returncode = 1
        machine.ended.set()
        await asyncio.sleep(0.01)
        assert (await services.handlers["machine.end"]({}))["died"] is True

    assert play(story) == [{"event": "machine-ended", "data": {"returncode": 1, "log": "words"}}]


def test_the_last_words_of_a_guest_are_told() -> None:
    async def story(services: MachineServices) -> None:
        await services.handlers["machine.start"](START)
        machine = StubMachine.started[0]
        machine.guest_words = "labctl guest: fault at 0x10\n"
        machine.gave_up.set()
        await asyncio.sleep(0.01)

    assert play(story) == [{"event": "guest-gave-up", "data": {"words": "fault at 0x10"}}]


def test_a_machine_that_cannot_be_killed_stays_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StubMachine, "dies_when_killed", False)

    async def story(services: MachineServices) -> None:
        said = await services.handlers["machine.start"](START)
        with pytest.raises(RequestError, match="did not end when it was killed"):
            await services.handlers["machine.end"]({})
        assert f'"pid": {said["pid"]}' in (tmp_path / "run" / "a.json").read_text()

    play(story)


def test_samples_are_taken_and_progress_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "PROGRESS_PERIOD_S", 0.03)
    monkeypatch.setattr(StubMachine, "first_pid", os.getpid())

    async def story(services: MachineServices) -> None:
        await services.handlers["machine.start"](START)
        await services.handlers["sample.start"]({"interface": None})
        with pytest.raises(RequestError, match="sampled already"):
            await services.handlers["sample.start"]({"interface": None})
        await asyncio.sleep(0.2)
        before_ns = time.monotonic_ns()
        await services.handlers["sample.stop"]({})
        after_ns = time.monotonic_ns()
        await asyncio.sleep(0.05)
        taken = await services.handlers["sample.take"]({})
        last_ns = max(s["request_ns"] for s in taken["samples"] if s["kind"] == "host")
        assert before_ns <= last_ns <= after_ns, "the host is looked at once more, and then no more"
        assert max(s["request_ns"] for s in taken["samples"]) <= after_ns
        kinds = [sample["kind"] for sample in taken["samples"]]
        assert kinds.count("migrate") >= 3
        assert kinds.count("host") >= 3
        assert taken["faults"] == []
        assert all(s["request_ns"] <= s["reply_ns"] for s in taken["samples"])
        assert (await services.handlers["sample.take"]({}))["samples"] == []

    told = [message["data"]["transferred_bytes"] for message in play(story)]
    assert len(told) >= 2
    assert told == sorted(told)


async def sampled(services: MachineServices, seconds: float) -> Any:
    """What is taken of a machine that was started, and sampled for so long."""
    await services.handlers["machine.start"](START)
    await services.handlers["sample.start"]({"interface": None})
    await asyncio.sleep(seconds)
    return await services.handlers["sample.take"]({})


def test_samples_that_nobody_took_end_with_their_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StubMachine, "first_pid", os.getpid())

    async def story(services: MachineServices) -> None:
        await services.handlers["machine.start"](START)
        await services.handlers["sample.start"]({"interface": None})
        await services.handlers["sample.stop"]({})
        await services.handlers["machine.end"]({})
        assert (await services.handlers["sample.take"]({}))["samples"] == []
        monkeypatch.setattr(StubMachine, "first_pid", os.getpid() - len(StubMachine.started))
        assert (await sampled(services, 0.1))["samples"], "the next one is sampled"

    play(story)


def test_a_host_on_which_a_sample_costs_much_is_sampled_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = sampler.Sampler._read_host

    def slow(*arguments: Any) -> Any:
        until_ns = time.thread_time_ns() + 10_000_000
        while time.thread_time_ns() < until_ns:
            pass
        return read(*arguments)

    monkeypatch.setattr(sampler.Sampler, "_read_host", slow)
    monkeypatch.setattr(StubMachine, "first_pid", os.getpid())

    async def story(services: MachineServices) -> None:
        taken = await sampled(services, 1.0)
        due_ns = sorted(s["due_ns"] for s in taken["samples"] if s["kind"] == "host")[:-1]
        assert len(due_ns) >= 2
        for one, next_one in pairwise(due_ns):
            assert next_one - one >= 50_000_000, "a fifth of a core"
            assert (next_one - one) % 10_000_000 == 0, "on the ticks of 10 ms"

    play(story)


def test_a_counter_that_cannot_be_read_is_told_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_arguments: Any) -> Any:
        raise OSError("no such counter")

    monkeypatch.setattr("labctl.node.procfs.ProcessCounters.resident_bytes", broken)
    monkeypatch.setattr(StubMachine, "first_pid", os.getpid())

    async def story(services: MachineServices) -> None:
        taken = await sampled(services, 0.1)
        assert taken["faults"] == ["host: no such counter"], "once, however often"
        assert {sample["kind"] for sample in taken["samples"]} == {"migrate"}

    play(story)


def test_what_needs_a_machine_says_so() -> None:
    async def story(services: MachineServices) -> None:
        for name in ("machine.qmp", "machine.guest", "sample.start", "schedule.run"):
            parameters = {"execute": "stop", "timeout_s": 1, "command": "K", "schedule": {}}
            with pytest.raises(RequestError, match="this node has no machine"):
                await services.handlers[name](parameters)
        assert (await services.handlers["sample.take"]({}))["samples"] == []

    play(story)
