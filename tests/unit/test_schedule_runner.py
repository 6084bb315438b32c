"""A schedule's rules on a stub machine: what fires, what hinders what, and how it ends."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from labctl.node import migration
from labctl.node.machine import Machine
from labctl.node.migration import ScheduleRunner, matches
from labctl.node.protocol import RequestError

ENDS = ["completed", "failed", "cancelled"]


class StubMachine:
    """As much of a machine as a schedule touches; `replies` are what carrying out a command takes."""

    def __init__(self) -> None:
        self.hooks: list[Callable[[int, dict[str, Any]], None]] = []
        self.events: list[dict[str, Any]] = []
        self.ended = asyncio.Event()
        self.executed: list[str] = []
        self._given: dict[str, asyncio.Event] = {}
        self.replies: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {}
        self.reply: dict[str, Any] = {}

    async def execute(
        self, command: str, _arguments: Any = None, *, timeout_s: float, quiet: bool = False
    ) -> Any:
        assert timeout_s > 0
        if quiet:
            return self.reply
        self.executed.append(command)
        self._given.setdefault(command, asyncio.Event()).set()
        await asyncio.sleep(0)
        if command in self.replies:
            await self.replies[command]()
        return None

    async def given(self, command: str) -> None:
        """Wait until a command was given."""
        await asyncio.wait_for(self._given.setdefault(command, asyncio.Event()).wait(), 10)

    def emit(self, name: str, **data: Any) -> None:
        for hook in list(self.hooks):
            hook(1, {"name": name, "data": data})

    def status(self, status: str) -> None:
        self.emit("MIGRATION", status=status)

    def refuse(self, command: str, after_s: float = 0.0) -> None:
        async def refusal() -> None:
            await asyncio.sleep(after_s)
            raise RequestError("qmp", f"{command}: not now")

        self.replies[command] = refusal


def rule(name: str, when: dict[str, Any], *do: str, unless: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"name": name, "when": when, "do": [{"execute": c} for c in do], "unless": list(unless)}


SWITCH = rule("switch", {"event": "MIGRATION_PASS", "field": "pass", "is": 2}, "start-postcopy", unless=("limit",))  # fmt: skip
LIMIT = rule("limit", {"elapsed_s": 0.02}, "cancel", unless=("switch",))


def schedule(*rules: dict[str, Any], hard_limit_s: float = 5.0) -> dict[str, Any]:
    start = [{"execute": "migrate"}]
    return {"start": start, "rules": list(rules), "ends": ENDS, "hard_limit_s": hard_limit_s}


def run(
    what: dict[str, Any], then: Callable[[StubMachine], Coroutine[Any, Any, None]]
) -> tuple[dict[str, Any], StubMachine, list[tuple[str, dict[str, Any]]]]:
    """Run a schedule while `then` plays QEMU."""
    told: list[tuple[str, dict[str, Any]]] = []

    async def both() -> tuple[dict[str, Any], StubMachine]:
        machine = StubMachine()
        runner = ScheduleRunner(
            cast("Machine", machine), what, lambda name, data: told.append((name, data))
        )
        running = asyncio.ensure_future(runner.run())
        await machine.given("migrate")
        await then(machine)
        result = await asyncio.wait_for(running, 10)
        assert machine.hooks == [], "nobody listens any more"
        return result, machine

    result, machine = asyncio.run(both())
    return result, machine, told


def test_it_ends_with_the_first_status_among_its_ends() -> None:
    async def qemu(machine: StubMachine) -> None:
        for status in ("setup", "active", "completed", "failed"):
            machine.status(status)

    result, machine, told = run(schedule(), qemu)
    assert result["status"] == "completed"
    assert (result["fired"], result["refused"]) == ([], [])
    assert result["start_ns"] <= result["end_ns"]
    assert machine.executed == ["migrate"]
    assert [d["status"] for n, d in told if n == "migration"] == [
        "setup",
        "active",
        "completed",
        "failed",
    ]


STALL = rule("switch", {"stall_per_cent": 10}, "start-postcopy", unless=("limit",))
PAGE = 4096


def pages(sent: int, left: int, total: int = 1000) -> dict[str, Any]:
    """A reply to query-migrate, in pages."""
    return {
        "ram": {
            "total": total * PAGE, "remaining": left * PAGE, "normal": sent, "duplicate": 0,
            "page-size": PAGE,
        }
    }  # fmt: skip


async def announce(machine: StubMachine, reply: dict[str, Any]) -> bool:
    """QEMU announces a pass; whether the machine has switched since."""
    machine.reply = reply
    machine.emit("MIGRATION_PASS", **{"pass": 2})
    for _ in range(5):
        await asyncio.sleep(0)
    return "start-postcopy" in machine.executed


@pytest.mark.parametrize(
    ("left", "switches_at"),
    [
        ((500, 250, 125), None),
        ((901, 800), 0),
        ((900, 811), 1),
        ((1200,), 0),
        ((100, 100, 50), 1),
        ((0, 0), None),
    ],
)
def test_a_stall_is_a_pass_that_begins_with_hardly_less_than_the_one_before(
    left: tuple[int, ...], switches_at: int | None
) -> None:
    async def qemu(machine: StubMachine) -> None:
        sent, due = 0, 1000
        for number, remaining in enumerate(left):
            sent += due
            due = remaining
            has_switched = await announce(machine, pages(sent, remaining))
            assert has_switched == (switches_at is not None and number >= switches_at)
        machine.status("completed")

    result, machine, _ = run(schedule(STALL), qemu)
    assert result["fired"] == ([] if switches_at is None else ["switch"])
    assert machine.executed.count("start-postcopy") == (switches_at is not None)


def test_what_is_announced_within_a_pass_is_no_pass() -> None:
    """As QEMU 11.1 does where postcopy is on."""

    async def qemu(machine: StubMachine) -> None:
        for sent in (0, 100, 400, 900):
            assert not await announce(machine, pages(sent, 1000 - sent))
        assert not await announce(machine, pages(1000, 300)), "one is over"
        assert not await announce(machine, pages(1200, 250))
        assert await announce(machine, pages(1300, 200)), "two are over"
        machine.status("completed")

    result, *_ = run(schedule(rule("switch", {"passes": 2}, "start-postcopy")), qemu)
    assert result["fired"] == ["switch"]


def test_pages_that_xbzrle_encodes_are_sent_too() -> None:
    async def qemu(machine: StubMachine) -> None:
        await announce(machine, pages(1000, 500))
        cache = {"pages": 400, "overflow": 300}
        assert not await announce(machine, pages(1300, 300) | {"xbzrle-cache": cache})
        cache = {"pages": 600, "overflow": 400}
        assert await announce(machine, pages(1300, 200) | {"xbzrle-cache": cache})
        machine.status("completed")

    run(schedule(rule("switch", {"passes": 2}, "start-postcopy")), qemu)


def test_stop_and_resume_are_told_as_they_happen() -> None:
    async def qemu(machine: StubMachine) -> None:
        machine.emit("STOP")
        machine.status("completed")

    _, _, told = run(schedule(), qemu)
    assert ("runstate", {"event": "STOP", "t_ns": 1}) in told


def test_a_rule_fires_once_and_never_early() -> None:
    async def qemu(machine: StubMachine) -> None:
        machine.emit("MIGRATION_PASS", **{"pass": 1})
        await asyncio.sleep(0.001)
        assert machine.executed == ["migrate"]
        for number in (2, 2, 3):
            machine.emit("MIGRATION_PASS", **{"pass": number})
        machine.status("completed")

    result, machine, _ = run(schedule(SWITCH), qemu)
    assert machine.executed == ["migrate", "start-postcopy"]
    assert result["fired"] == ["switch"]
    assert [event["data"] for event in machine.events] == [{"rule": "switch"}]


def test_the_limit_fires_by_itself_and_hinders_the_switch() -> None:
    async def qemu(machine: StubMachine) -> None:
        await machine.given("cancel")
        machine.emit("MIGRATION_PASS", **{"pass": 2})
        machine.status("cancelled")

    result, machine, _ = run(schedule(SWITCH, LIMIT), qemu)
    assert machine.executed == ["migrate", "cancel"]
    assert (result["status"], result["fired"]) == ("cancelled", ["limit"])


def test_after_the_switch_nothing_is_cancelled() -> None:
    async def qemu(machine: StubMachine) -> None:
        machine.emit("MIGRATION_PASS", **{"pass": 2})
        await asyncio.sleep(0.05)
        machine.status("completed")

    result, machine, _ = run(schedule(SWITCH, LIMIT), qemu)
    assert machine.executed == ["migrate", "start-postcopy"]
    assert result["fired"] == ["switch"]


@pytest.mark.parametrize(
    "late", [False, True], ids=["refused before the limit", "refused after it"]
)
def test_a_switch_that_qemu_refused_does_not_keep_the_limit_from_cancelling(late: bool) -> None:
    """Else a precopy that cannot end would go on to the hard limit."""

    async def qemu(machine: StubMachine) -> None:
        machine.refuse("start-postcopy", after_s=0.05 if late else 0.0)
        machine.emit("MIGRATION_PASS", **{"pass": 2})
        await machine.given("cancel")
        machine.status("cancelled")

    result, machine, _ = run(schedule(SWITCH, LIMIT), qemu)
    assert machine.executed == ["migrate", "start-postcopy", "cancel"]
    assert result["refused"] == ["switch: start-postcopy: not now"]
    assert (result["status"], result["fired"]) == ("cancelled", ["limit"])


def test_a_refused_command_ends_its_rule_and_is_told() -> None:
    async def qemu(machine: StubMachine) -> None:
        machine.refuse("first")
        machine.status("active")
        await asyncio.sleep(0.01)
        machine.status("completed")

    two = rule("two", {"event": "MIGRATION", "field": "status", "is": "active"}, "first", "second")
    result, machine, _ = run(schedule(two), qemu)
    assert machine.executed == ["migrate", "first"]
    assert (result["fired"], result["refused"]) == ([], ["two: first: not now"])


def test_what_the_last_event_sets_off_is_waited_for() -> None:
    """A `cont` after a cancel: the schedule is not over before it was given, and its refusal is told."""
    resume = rule("resume", {"event": "MIGRATION", "field": "status", "is": "cancelled"}, "cont")

    async def qemu(machine: StubMachine) -> None:
        machine.refuse("cont", after_s=0.05)
        machine.status("cancelled")

    result, machine, _ = run(schedule(resume), qemu)
    assert machine.executed == ["migrate", "cont"]
    assert result["refused"] == ["resume: cont: not now"]


def test_it_ends_when_qemu_dies() -> None:
    async def qemu(machine: StubMachine) -> None:
        machine.ended.set()

    result, _, _ = run(schedule(), qemu)
    assert result["status"] == "qemu-died"


def test_it_ends_at_the_hard_limit() -> None:
    async def qemu(machine: StubMachine) -> None:
        machine.status("postcopy-active")

    result, machine, _ = run(schedule(LIMIT, hard_limit_s=0.05), qemu)
    assert result["status"] == "hard-limit"
    assert machine.executed == ["migrate", "cancel"]


def test_a_start_command_that_is_refused_is_the_schedules_failure() -> None:
    async def refused() -> StubMachine:
        machine = StubMachine()
        machine.refuse("migrate")
        runner = ScheduleRunner(cast("Machine", machine), schedule(LIMIT), lambda *_: None)
        with pytest.raises(RequestError, match="not now"):
            await runner.run()
        await asyncio.sleep(0.05)
        return machine

    machine = asyncio.run(refused())
    assert machine.executed == ["migrate"], "its timers were stopped too"
    assert machine.hooks == []


def test_an_armed_runner_only_reacts() -> None:
    async def armed() -> StubMachine:
        machine = StubMachine()
        resume = rule(
            "resume", {"event": "MIGRATION", "field": "status", "is": "completed"}, "cont"
        )
        runner = ScheduleRunner(cast("Machine", machine), schedule(resume), lambda *_: None)
        runner.arm()
        machine.status("completed")
        await asyncio.sleep(0.01)
        runner.disarm()
        machine.status("completed")
        return machine

    assert asyncio.run(armed()).executed == ["cont"]


def test_last_commands_do_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "LAST_COMMANDS_S", 0.02)
    resume = rule("resume", {"event": "MIGRATION", "field": "status", "is": "cancelled"}, "cont")

    async def qemu(machine: StubMachine) -> None:
        machine.replies["cont"] = lambda: asyncio.sleep(3600)
        machine.status("cancelled")

    result, _, _ = run(schedule(resume), qemu)
    assert result["status"] == "cancelled"


@pytest.mark.parametrize(
    ("when", "event", "met"),
    [
        ({"event": "STOP"}, {"name": "STOP", "data": {}}, True),
        ({"event": "STOP"}, {"name": "RESUME", "data": {}}, False),
        ({"elapsed_s": 1}, {"name": "STOP", "data": {}}, False),
        ({"event": "M", "field": "f", "is": "a"}, {"name": "M", "data": {"f": "a"}}, True),
        ({"event": "M", "field": "f", "is": "a"}, {"name": "M", "data": {"f": "b"}}, False),
        ({"event": "M", "field": "f", "is": "a"}, {"name": "M", "data": {}}, False),
    ],
)
def test_conditions(when: dict[str, Any], event: dict[str, Any], met: bool) -> None:
    assert matches(when, event) is met
