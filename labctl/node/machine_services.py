"""Services of the machine: one QEMU at a time, its samples, and the schedule of its migration."""

from __future__ import annotations

import asyncio
from typing import Any

from . import rdma
from .machine import Machine
from .migration import ScheduleRunner
from .protocol import RequestError, event
from .sampler import Sampler
from .services import Handler, Params, Place, Send, anchor

_SPEAKER = "labctl guest: "
"""how the guest's last words begin"""


class MachineServices:
    """Holds the machine, and with it what samples and migrates it."""

    def __init__(self, place: Place, send: Send) -> None:
        self._place = place
        self._send = send
        self._machine: Machine | None = None
        self._sampler: Sampler | None = None
        self._runner: ScheduleRunner | None = None
        self._reports: list[asyncio.Future[None]] = []
        # An end that comes while the machine still starts waits for it: else it would end nothing.
        self._turn = asyncio.Lock()
        self.handlers: dict[str, Handler] = {
            "machine.start": self._start_machine,
            "machine.qmp": self._qmp,
            "machine.guest": self._tell_guest,
            "machine.end": self._end_machine,
            "rdma.listening": self._listening,
            "sample.start": self._start_sampling,
            "sample.stop": self._stop_sampling,
            "sample.take": self._take_samples,
            "schedule.arm": self._arm,
            "schedule.run": self._run_schedule,
        }

    async def close(self) -> None:
        """End the machine."""
        await self._end_machine({})

    async def _start_machine(self, params: Params) -> Any:
        async with self._turn:
            if self._machine is not None:
                raise RequestError("order", "this node already has a machine")
            spec = params["machine"]
            log = self._place.state.directory / f"{spec['name']}.log"
            machine = await Machine.start(spec, log, params["timeout_s"])
            self._machine = machine
            self._place.state.add(machine.pid, spec["name"])
            self._reports = [
                asyncio.ensure_future(report(machine))
                for report in (self._report_death, self._report_words)
            ]
        return {
            "pid": machine.pid,
            "argv": machine.argv,
            "user": machine.user,
            "memlock_bytes": machine.memlock_bytes(),
        }

    async def _report_death(self, machine: Machine) -> None:
        await machine.ended.wait()
        if self._machine is machine:
            data = {"returncode": machine.returncode, "log": machine.log_tail()}
            self._send(event("machine-ended", data))

    async def _report_words(self, machine: Machine) -> None:
        await machine.gave_up.wait()
        words = machine.guest_words.strip().removeprefix(_SPEAKER)
        self._send(event("guest-gave-up", {"words": words}))

    @property
    def _running(self) -> Machine:
        if self._machine is None:
            raise RequestError("order", "this node has no machine")
        return self._machine

    async def _qmp(self, params: Params) -> Any:
        return await self._running.execute(
            params["execute"],
            params.get("arguments"),
            timeout_s=params["timeout_s"],
            oob=params.get("oob", False),
        )

    async def _listening(self, _params: Params) -> Any:
        return {"port": rdma.listening_port(self._running.pid)}

    async def _tell_guest(self, params: Params) -> Any:
        self._running.tell_guest(params["command"])

    async def _end_machine(self, _params: Params) -> Any:
        """End the machine; what it did (events, commands, log) comes back, sorted by time."""
        async with self._turn:
            machine, self._machine = self._machine, None
            if machine is None:
                return {"events": [], "log": "", "died": False, "returncode": None}
            if self._runner is not None:
                self._runner.disarm()
                self._runner = None
            await self._stop_sampling({})
            self._sampler = None
            died = machine.ended.is_set()
            if not await machine.end():
                # Its entry stays in the live state, so that `clean` finds it.
                raise RequestError("timeout", f"QEMU {machine.pid} did not end when it was killed")
            self._place.state.remove(machine.pid)
            for report in self._reports:
                report.cancel()
            return {
                "events": sorted(machine.events + machine.commands, key=lambda e: e["t_ns"]),
                "log": machine.log_tail(),
                "died": died,
                "returncode": machine.returncode,
            }

    async def _start_sampling(self, params: Params) -> Any:
        if self._sampler is not None:
            raise RequestError("order", "this machine is sampled already")
        self._sampler = Sampler(
            self._running,
            params.get("interface"),
            params.get("rdma"),
            lambda state: self._send(event("progress", state)),
        )
        await self._sampler.start()
        return anchor()

    async def _stop_sampling(self, _params: Params) -> Any:
        if self._sampler is not None:
            self._sampler.stop()

    async def _take_samples(self, _params: Params) -> Any:
        """End sampling, where that was not done; the samples, once."""
        await self._stop_sampling({})
        sampler, self._sampler = self._sampler, None
        samples = sampler.take() if sampler else []
        return {"samples": samples, "faults": sampler.faults if sampler else [], **anchor()}

    async def _arm(self, params: Params) -> Any:
        self._runner = self._make_runner(params)
        self._runner.arm()

    async def _run_schedule(self, params: Params) -> Any:
        self._runner = self._make_runner(params)
        return await self._runner.run()

    def _make_runner(self, params: Params) -> ScheduleRunner:
        return ScheduleRunner(
            self._running, params["schedule"], lambda name, data: self._send(event(name, data))
        )
