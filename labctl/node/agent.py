"""The agent: reads requests from stdin, answers on stdout, and ends all it started when stdin ends.

Requests of one agent run side by side (a migration is one long request while samples are told as events). A request that
fails answers with a code and a text; nothing but the end of the channel, or a termination signal, ends the agent.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import sys
import time
import traceback
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Callable

from . import AGENT_VERSION, host, link, probe, procfs
from .machine import Machine
from .migration import ScheduleRunner
from .observer import Observer, wait_until
from .protocol import (
    MAX_LINE_BYTES,
    RequestError,
    decode,
    encode,
    event,
    failure,
    pack,
    response,
    unpack,
)
from .sampler import Sampler

Params = dict[str, Any]


class Agent:
    """The services of one node. One machine, one observer and one sampler at a time."""

    def __init__(self, run: str, role: str, send: Callable[[dict[str, Any]], None]) -> None:
        self._run = run
        self._role = role
        self._send = send
        self._lock = host.HostLock()
        self._state: host.LiveState | None = None
        self._machine: Machine | None = None
        self._sampler: Sampler | None = None
        self._runner: ScheduleRunner | None = None
        self._observer: Observer | None = None
        self._death: asyncio.Future[None] | None = None
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.services: dict[str, Callable[[Params], Awaitable[Any]]] = {
            "hello": self._hello,
            "host.describe": self._describe_host,
            "host.leftovers": self._leftovers,
            "host.clean": self._clean,
            "file.put": self._put_file,
            "link.make": self._make_link,
            "link.configure": self._configure_link,
            "link.shape": self._shape_link,
            "link.describe": self._describe_link,
            "link.serve": self._serve_link,
            "link.measure": self._measure_link,
            "qemu.probe": self._probe,
            "qemu.accelerators": self._accelerators,
            "machine.start": self._start_machine,
            "machine.qmp": self._qmp,
            "machine.guest": self._tell_guest,
            "machine.log": self._log,
            "machine.end": self._end_machine,
            "sample.start": self._start_sampling,
            "sample.stop": self._stop_sampling,
            "schedule.arm": self._arm,
            "schedule.run": self._run_schedule,
            "observe.start": self._observe,
            "observe.wait": self._wait_for_beats,
            "observe.state": self._beat_state,
            "observe.rate": self._beat_rate,
            "observe.take": self._take_beats,
        }

    # --- the host ---

    async def _hello(self, params: Params) -> Any:
        """Open this node for a run: take the host's lock where asked, make the live state."""
        shared = False
        if params["lock"]:
            holder = {
                "run": self._run, "pid": os.getpid(), "since": time.time(),
                "user": params.get("user") or pwd.getpwuid(os.getuid()).pw_name,
            }  # fmt: skip
            shared = self._lock.take(holder, params["share"])
            host.clean()
        self._state = host.LiveState(self._run, self._role)
        return {
            "version": AGENT_VERSION, "pid": os.getpid(), "shared_host": shared, "host": host.describe(),
            "directory": str(self._state.directory),
        }  # fmt: skip

    async def _describe_host(self, _params: Params) -> Any:
        return host.describe()

    async def _leftovers(self, _params: Params) -> Any:
        return host.leftovers()

    async def _clean(self, _params: Params) -> Any:
        return host.clean()

    async def _put_file(self, params: Params) -> Any:
        path = self._live.directory / os.path.basename(params["name"])
        path.write_bytes(unpack(params["data"]))
        path.chmod(0o644)
        return {"path": str(path)}

    @property
    def _live(self) -> host.LiveState:
        if self._state is None:
            raise RequestError("order", "hello comes first")
        return self._state

    # --- the link ---

    async def _make_link(self, params: Params) -> Any:
        link.make_veth(params["interface"], params["peer_pid"])

    async def _configure_link(self, params: Params) -> Any:
        link.configure(params["interface"], params["address"], params["mtu"])

    async def _shape_link(self, params: Params) -> Any:
        return link.shape(params["interface"], params["bits_per_s"])

    async def _describe_link(self, params: Params) -> Any:
        return link.describe(params["interface"])

    async def _serve_link(self, params: Params) -> Any:
        return {"port": link.LinkServer(params["address"]).port}

    async def _measure_link(self, params: Params) -> Any:
        arguments = (params["interface"], params["address"], params["port"], params["seconds"])
        return await self._loop.run_in_executor(None, link.measure, *arguments)

    # --- QEMU ---

    async def _probe(self, params: Params) -> Any:
        return await probe.probe(
            params["qemu"], params["machine_type"], params["combinations"], self._live.directory
        )

    async def _accelerators(self, params: Params) -> Any:
        return await probe.try_accelerators(
            params["qemu"], params["machine_type"], params["kernel"], self._live.directory
        )

    async def _start_machine(self, params: Params) -> Any:
        if self._machine is not None:
            raise RequestError("order", "this node already has a machine")
        spec = params["machine"]
        log = self._live.directory / f"{spec['name']}.log"
        self._machine = await Machine.start(spec, log, params["timeout_s"])
        self._live.add(self._machine.pid, spec["name"])
        self._death = asyncio.ensure_future(self._report_death(self._machine))
        return {"pid": self._machine.pid, "argv": self._machine.argv, "user": self._machine.user}

    async def _report_death(self, machine: Machine) -> None:
        await machine.ended.wait()
        if self._machine is machine:
            self._send(event("machine-ended", {"returncode": machine.returncode}))

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

    async def _tell_guest(self, params: Params) -> Any:
        self._running.tell_guest(params["command"])

    async def _log(self, _params: Params) -> Any:
        return {
            "log": self._running.log_tail(),
            "ended": self._running.ended.is_set(),
            "returncode": self._running.returncode,
        }

    async def _end_machine(self, _params: Params) -> Any:
        """End the machine; what it did (events, commands, log) comes back, sorted by time."""
        machine, self._machine = self._machine, None
        if machine is None:
            return {"events": [], "log": "", "died": False, "returncode": None}
        if self._runner is not None:
            self._runner.disarm()
            self._runner = None
        if self._sampler is not None:
            await self._sampler.stop()
            self._sampler = None
        died = machine.ended.is_set()
        await machine.end()
        self._live.remove(machine.pid)
        events = sorted(machine.events + machine.commands, key=lambda e: e["t_ns"])
        return {
            "events": events,
            "log": machine.log_tail(),
            "died": died,
            "returncode": machine.returncode,
        }

    # --- sampling and the migration itself ---

    async def _start_sampling(self, params: Params) -> Any:
        self._sampler = Sampler(
            self._running,
            params.get("interface"),
            lambda state: self._send(event("progress", state)),
        )
        await self._sampler.start()
        return self._anchor()

    async def _stop_sampling(self, _params: Params) -> Any:
        samples = await self._sampler.stop() if self._sampler else []
        self._sampler = None
        return {"samples": samples, **self._anchor()}

    @staticmethod
    def _anchor() -> dict[str, Any]:
        monotonic_ns, realtime_ns = procfs.anchors()
        return {"anchor": {"monotonic_ns": monotonic_ns, "realtime_ns": realtime_ns}}

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

    # --- the guest's beats ---

    async def _observe(self, params: Params) -> Any:
        if self._observer is not None:
            self._observer.close()
        self._observer = Observer(
            self._live.directory,
            params["nonce"],
            self._beats_changed,
        )
        return {"paths": self._observer.paths, **self._anchor()}

    def _beats_changed(self) -> None:
        """Called on the observer's thread."""
        self._loop.call_soon_threadsafe(self._changed.set)

    @property
    def _beats(self) -> Observer:
        if self._observer is None:
            raise RequestError("order", "observe.start comes first")
        return self._observer

    async def _wait_for_beats(self, params: Params) -> Any:
        """Wait until a side beats: `phase` reached, `reports` there, or `beats` more than it had."""
        observer = self._beats
        side = params["side"]
        wanted_count = observer.count[side] + params.get("beats", 0)

        def met() -> bool:
            last = observer.last[side]
            if last is None or observer.count[side] < wanted_count:
                return False
            if "phase" in params and observer.state()["sides"][side]["phase"] != params["phase"]:
                return False
            return len(observer.reports) >= int(params.get("reports", 0))

        await wait_until(met, self._changed, params["name"], params["timeout_s"])
        return observer.state()

    async def _beat_state(self, _params: Params) -> Any:
        return self._beats.state()

    async def _beat_rate(self, params: Params) -> Any:
        return self._beats.write_rate(params["since_ns"])

    async def _take_beats(self, _params: Params) -> Any:
        """All beats of the trial, packed; the observer is closed."""
        observer, self._observer = self._beats, None
        observer.close()
        taken = observer.take()
        return {**taken, "records": pack(taken["records"]), **self._anchor()}

    async def close(self) -> None:
        """End all that this node started. Safe at any moment, and again."""
        if self._observer is not None:
            self._observer.close()
            self._observer = None
        try:
            await self._end_machine({})
        finally:
            if self._state is not None:
                self._state.close()
                self._state = None
            self._lock.release()


async def serve(run: str, role: str) -> None:
    """Answer requests until stdin ends or the agent is asked to end, then end all it started."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    # A duplicate carries the messages; fd 1 then is stderr, so that no stray print can break the channel.
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def send(message: dict[str, Any]) -> None:
        # When the controller is gone, end of file on stdin says so too, and ends us.
        with suppress(OSError):
            _write_all(channel.fileno(), encode(message))

    agent = Agent(run, role, send)
    tasks: list[asyncio.Task[None]] = []
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    # Ctrl-C in a terminal reaches the whole group; how a run ends is the controller's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while True:
            reading = asyncio.ensure_future(reader.readline())
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()
                break
            line = reading.result()
            if not line:
                break
            tasks = [task for task in tasks if not task.done()]
            tasks.append(asyncio.ensure_future(_answer(agent, decode(line), send)))
    finally:
        stopping.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await agent.close()


async def _answer(
    agent: Agent, request: dict[str, Any], send: Callable[[dict[str, Any]], None]
) -> None:
    service = agent.services.get(request["do"])
    try:
        if service is None:
            raise RequestError("unknown", f"no service {request['do']!r}")
        send(response(request["id"], await service(request.get("with", {}))))
    except RequestError as error:
        send(failure(request["id"], error.code, error.message))
    except OSError as error:
        send(failure(request["id"], "os", str(error)))
    except Exception:  # noqa: BLE001 - told to the controller; the agent lives on
        send(failure(request["id"], "bug", traceback.format_exc()))


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def main(argv: list[str]) -> int:
    """``RUN ROLE``: serve until stdin ends."""
    if len(argv) != 2:
        print("usage: agent RUN ROLE", file=sys.stderr)
        return 2
    asyncio.run(serve(argv[0], argv[1]))
    return 0
