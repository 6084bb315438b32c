"""Runs a schedule on one end of a migration, on this end's own events and clock, so that no network delays a switch.

A schedule is data, made by the controller::

    {"start": [{"execute": "migrate", "arguments": {...}}],
     "rules": [{"name": "switch", "when": {"passes": 1}, "unless": ["limit"],
                "do": [{"execute": "migrate-start-postcopy"}]},
               {"name": "limit", "when": {"elapsed_s": 10.0}, "unless": ["switch"], "do": [{"execute": "migrate_cancel"}]}],
     "ends": ["completed", "failed", "cancelled"],
     "hard_limit_s": 60.0}

A rule waits for an event (one whose ``field`` ``is`` something, where it says so), for a time since the start (``elapsed_s``),
for whole passes over the memory (``passes``), or for a stall (``stall_per_cent``): the first pass that begins with less than so
many per cent fewer bytes to send than the pass before it did.

Each rule fires at most once, and not after a rule it names under ``unless`` — save one whose command QEMU has refused,
which then hinders nothing: a switch that was not made must not keep the limit from cancelling. The schedule ends with the
first MIGRATION event whose status is among ``ends``, when QEMU dies, or at the hard limit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Callable

from .machine import Machine
from .passes import Passes
from .protocol import RequestError

COMMAND_TIMEOUT_S = 30.0
LAST_COMMANDS_S = 5.0

Tell = Callable[[str, dict[str, Any]], None]


class ScheduleRunner:
    """One schedule on one machine. :meth:`arm` listens, :meth:`run` also gives the start commands and waits for the end."""

    def __init__(self, machine: Machine, schedule: dict[str, Any], tell: Tell) -> None:
        self._machine = machine
        self._schedule = schedule
        self._tell = tell
        self._fired: set[str] = set()
        self._ineffective: set[str] = set()
        self._hindered: list[dict[str, Any]] = []
        self._refused: list[str] = []
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._timers: list[asyncio.TimerHandle] = []
        self._doing: set[asyncio.Task[None]] = set()
        self._passes = Passes()
        self._counts_passes = any(
            {"passes", "stall_per_cent"} & set(rule["when"]) for rule in schedule["rules"]
        )

    def arm(self) -> None:
        """Listen to the machine, so that the rules can fire."""
        self._machine.hooks.append(self._on_event)

    async def run(self) -> dict[str, Any]:
        """:return: ``status`` (``completed``, ``failed``, ``cancelled``, ``qemu-died``, ``hard-limit``), ``start_ns``, ``end_ns``,
        ``fired`` rules whose commands were carried out, ``refused`` commands of the others with QEMU's words.

        :raise RequestError: when a start command is refused.
        """
        self.arm()
        start_ns = time.monotonic_ns()
        loop = asyncio.get_running_loop()
        for rule in self._schedule["rules"]:
            if "elapsed_s" in rule["when"]:
                self._timers.append(loop.call_later(rule["when"]["elapsed_s"], self._fire, rule))
        dying = asyncio.ensure_future(self._machine.ended.wait())
        awaited: set[asyncio.Future[Any]] = {self._ended, dying}
        try:
            for command in self._schedule["start"]:
                await self._machine.execute(
                    command["execute"], command.get("arguments"), timeout_s=COMMAND_TIMEOUT_S
                )
            await asyncio.wait(
                awaited,
                timeout=self._schedule["hard_limit_s"],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            end_ns = time.monotonic_ns()
            dying.cancel()
            self.disarm()
        if self._ended.done():
            status = self._ended.result()
        else:
            status = "qemu-died" if self._machine.ended.is_set() else "hard-limit"
        if self._doing:
            # What the last event set off (a `cont` after a cancel) belongs to the migration.
            await asyncio.wait(self._doing, timeout=LAST_COMMANDS_S)
        return {
            "status": status,
            "start_ns": start_ns,
            "end_ns": end_ns,
            "fired": sorted(self._fired - self._ineffective),
            "refused": self._refused,
        }

    def disarm(self) -> None:
        """Stop listening."""
        if self._on_event in self._machine.hooks:
            self._machine.hooks.remove(self._on_event)
        for timer in self._timers:
            timer.cancel()

    def _on_event(self, t_ns: int, event: dict[str, Any]) -> None:
        for rule in self._schedule["rules"]:
            if matches(rule["when"], event):
                self._fire(rule)
        if event["name"] == "MIGRATION_PASS" and self._counts_passes:
            self._start(self._count_pass())
        if event["name"] in ("STOP", "RESUME"):
            self._tell("runstate", {"event": event["name"], "t_ns": t_ns})
        if event["name"] == "MIGRATION":
            status = event["data"].get("status", "")
            self._tell("migration", {"status": status, "t_ns": t_ns})
            if status in self._schedule["ends"] and not self._ended.done():
                self._ended.set_result(status)

    def _fire(self, rule: dict[str, Any]) -> None:
        if rule["name"] in self._fired:
            return
        if (self._fired - self._ineffective) & set(rule.get("unless", ())):
            if "elapsed_s" in rule["when"]:  # its moment comes once
                self._hindered.append(rule)
            return
        self._fired.add(rule["name"])
        self._machine.events.append(
            {
                "t_ns": time.monotonic_ns(),
                "kind": "node",
                "name": "rule",
                "qemu_realtime_ns": None,
                "data": {"rule": rule["name"]},
            }
        )
        self._start(self._do(rule))

    def _start(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(doing)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    async def _count_pass(self) -> None:
        """QEMU has announced a pass: ask what was sent and what is left, and fire the rules that wait for passes."""
        try:
            reply = await self._machine.execute(
                "query-migrate", timeout_s=COMMAND_TIMEOUT_S, quiet=True
            )
        except RequestError:
            return  # a migration that ended meanwhile has no next pass
        if not self._passes.announced(reply) or self._ended.done():
            return
        for rule in self._schedule["rules"]:
            when = rule["when"]
            if ("passes" in when and self._passes.over >= when["passes"]) or (
                "stall_per_cent" in when and self._passes.stalled(when["stall_per_cent"])
            ):
                self._fire(rule)

    async def _do(self, rule: dict[str, Any]) -> None:
        for command in rule["do"]:
            try:
                await self._machine.execute(
                    command["execute"], command.get("arguments"), timeout_s=COMMAND_TIMEOUT_S
                )
            except RequestError as error:
                # A command that came too late (the migration ended first) is told, not fatal: QEMU's status decides.
                self._refused.append(f"{rule['name']}: {error.message}")
                self._ineffective.add(rule["name"])
                hindered, self._hindered = self._hindered, []
                if not self._ended.done():
                    for later in hindered:
                        self._fire(later)
                return


def matches(when: dict[str, Any], event: dict[str, Any]) -> bool:
    """Whether an event meets a rule's condition."""
    if when.get("event") != event["name"]:
        return False
    return "field" not in when or bool(event["data"].get(when["field"]) == when["is"])
