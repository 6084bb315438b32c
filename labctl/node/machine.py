"""One QEMU process: started for one trial, spoken to over QMP, ended with the trial.

QMP (a monitor for commands, and one for the sampler alone) and the guest's command line travel over socket pairs that QEMU
inherits, the beats over the observer's pipe: no port and no name to collide with. The kernel kills QEMU when this agent dies, however it dies (parent death signal).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import socket
import time
from pathlib import Path
from typing import Any, Callable

from qemu.qmp import ExecuteError, QMPClient, QMPError

from . import local_pipes
from .command_line import Inherited, Spec, argv, find_qemu, run_as
from .describe import limits
from .patience import longer
from .protocol import RequestError

KILL_TIMEOUT_S = 10.0
_REAP_S = 0.5
_WORDS_BYTES = 4096
LOG_TAIL_BYTES = 64 * 1024

logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())
logging.getLogger("qemu.qmp").propagate = False

EventHook = Callable[[int, dict[str, Any]], None]


class Machine:
    """A running QEMU. Made by :meth:`start`."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.argv: list[str] = []
        self.user = ""
        self.events: list[dict[str, Any]] = []
        self.commands: list[dict[str, Any]] = []
        self.hooks: list[EventHook] = []
        self.ended = asyncio.Event()
        self.gave_up = asyncio.Event()
        self.guest_words = ""
        self.returncode: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._qmp = QMPClient(spec["name"])
        self._guest: socket.socket | None = None
        self.sampling_monitor: socket.socket | None = None
        self._log: Path | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def pid(self) -> int:
        """The pid of QEMU."""
        assert self._process is not None
        return self._process.pid

    @classmethod
    async def start(cls, spec: Spec, log: Path, timeout_s: float) -> Machine:
        """Start QEMU and connect its monitor.

        :raise RequestError: ``qemu-missing``; ``qemu-died`` with QEMU's own words; ``timeout``
        """
        machine = cls(spec)
        try:
            await machine._start(log, timeout_s)
        except BaseException:
            await machine.end()
            raise
        return machine

    async def _start(self, log: Path, timeout_s: float) -> None:
        qemu = find_qemu(self.spec["qemu"])
        prefix, self.user = run_as(
            self.spec.get("uid"), self.spec.get("gid"), self.spec.get("groups", ())
        )
        qmp, samples, guest = (socket.socketpair() for _ in range(3))
        self.sampling_monitor, self._guest = samples[0], guest[0]
        self._guest.setblocking(False)
        self._log = log
        theirs = [qmp[1].detach(), samples[1].detach(), guest[1].detach()]
        try:
            if self.spec.get("beats_pipe"):
                theirs.append(local_pipes.open_to_write(self.spec["beats_pipe"]))
            beats = theirs[3] if len(theirs) > 3 else None
            self.argv = argv(self.spec, qemu, Inherited(theirs[0], theirs[1], theirs[2], beats))
            with open(log, "wb") as stderr:  # noqa: ASYNC230 - local, before anything is timed
                self._process = await asyncio.create_subprocess_exec(
                    *prefix, *self.argv,
                    stdin=asyncio.subprocess.DEVNULL, stdout=stderr, stderr=stderr,
                    pass_fds=theirs,
                )  # fmt: skip
        except BaseException as error:
            qmp[0].close()
            if isinstance(error, OSError):
                raise RequestError("qemu-died", f"QEMU could not be started: {error}") from None
            raise
        finally:
            for handle in theirs:
                os.close(handle)
        self._tasks.append(asyncio.ensure_future(self._reap()))
        if self.spec.get("locks_memory"):
            self._lift_memlock()
        await self._connect(qmp[0], timeout_s)
        self._tasks.append(asyncio.ensure_future(self._collect_events()))
        asyncio.get_running_loop().add_reader(self._guest.fileno(), self._hear_guest)

    async def _connect(self, qmp: socket.socket, timeout_s: float) -> None:
        timeout_s = longer(timeout_s)
        connecting = asyncio.ensure_future(self._qmp.connect(qmp))
        dying = asyncio.ensure_future(self.ended.wait())
        await asyncio.wait(
            {connecting, dying}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        dying.cancel()
        if connecting.done() and connecting.exception() is None:
            return
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        if not self.ended.is_set():
            # QMP ends a moment before the process is reaped.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.ended.wait(), _REAP_S)
        if self.ended.is_set():
            raise RequestError(
                "qemu-died", f"QEMU ended with status {self.returncode}: {self.log_tail()}"
            )
        raise RequestError("timeout", f"QEMU's monitor did not answer within {timeout_s:g} s")

    def _lift_memlock(self) -> None:
        """Let QEMU lock as much as this host lets us give it; the limit outlives setpriv, and the program that it starts."""
        _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        for most in (resource.RLIM_INFINITY, hard):
            with contextlib.suppress(OSError, ValueError):
                resource.prlimit(self.pid, resource.RLIMIT_MEMLOCK, (most, most))
                return

    def memlock_bytes(self) -> int | str | None:
        """How much memory QEMU may lock, or `unlimited`; None when it has ended."""
        try:
            return limits.limit(resource.prlimit(self.pid, resource.RLIMIT_MEMLOCK)[0])
        except OSError:
            return None

    async def _reap(self) -> None:
        assert self._process is not None
        self.returncode = await self._process.wait()
        self.ended.set()

    async def _collect_events(self) -> None:
        while True:
            message = await self._qmp.events.get()
            self._store_event(time.monotonic_ns(), dict(message))

    def _store_event(self, t_ns: int, message: dict[str, Any]) -> None:
        stamp = message.get("timestamp", {})
        record = {
            "t_ns": t_ns,
            "kind": "qmp",
            "name": message["event"],
            "qemu_realtime_ns": stamp.get("seconds", 0) * 10**9
            + stamp.get("microseconds", 0) * 1000,
            "data": message.get("data", {}),
        }
        self.events.append(record)
        for hook in list(self.hooks):
            hook(t_ns, record)

    async def execute(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        *,
        timeout_s: float,
        oob: bool = False,
        quiet: bool = False,
    ) -> Any:
        """One QMP command; unless `quiet` it is recorded with its times.

        :raise RequestError: ``qmp`` with QEMU's own words, ``qemu-died``, ``timeout``
        """
        timeout_s = longer(timeout_s)
        record: dict[str, Any] = {"arguments": arguments or {}, "request_ns": time.monotonic_ns()}
        try:
            return await asyncio.wait_for(
                self._qmp.execute(command, arguments, oob=oob),
                timeout_s,
            )
        except ExecuteError as error:
            record["error"] = str(error)
            raise RequestError("qmp", f"{command}: {error}") from None
        except asyncio.TimeoutError:
            record["error"] = "timeout"
            raise RequestError(
                "timeout", f"QEMU did not answer {command} within {timeout_s:g} s"
            ) from None
        except (QMPError, OSError, EOFError) as error:
            record["error"] = str(error)
            raise RequestError(
                "qemu-died", f"QEMU's monitor closed during {command}: {self.log_tail()}"
            ) from None
        finally:
            if not quiet:
                record["reply_ns"] = time.monotonic_ns()
                self.commands.append(
                    {
                        "t_ns": record["request_ns"],
                        "kind": "command",
                        "name": command,
                        "qemu_realtime_ns": None,
                        "data": record,
                    }
                )

    def tell_guest(self, command: str) -> None:
        """Send the guest one command byte."""
        assert self._guest is not None
        try:
            self._guest.send(command.encode("ascii"))
        except OSError as error:
            raise RequestError(
                "qemu-died", f"the guest's command line is closed: {error}"
            ) from None

    def _hear_guest(self) -> None:
        """The guest says nothing but why it cannot go on, in one line."""
        assert self._guest is not None
        try:
            said = self._guest.recv(_WORDS_BYTES)
        except OSError:
            said = b""
        if not said:
            asyncio.get_running_loop().remove_reader(self._guest.fileno())
            return
        self.guest_words += said.decode("ascii", "replace")
        if "\n" in self.guest_words:
            self.gave_up.set()

    def log_tail(self) -> str:
        """The end of what QEMU printed."""
        if self._log is None or not self._log.exists():
            return ""
        data = self._log.read_bytes()[-LOG_TAIL_BYTES:]
        return data.decode("utf-8", "replace").strip()

    async def end(self) -> bool:
        """End the process and give back what belongs to it; whether the process is gone."""
        gone = True
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            try:
                await asyncio.wait_for(self._process.wait(), longer(KILL_TIMEOUT_S))
            except asyncio.TimeoutError:
                gone = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.ended.set()
        with contextlib.suppress(QMPError, OSError, EOFError, asyncio.TimeoutError):
            await asyncio.wait_for(self._qmp.disconnect(), 1.0)
        if self._guest is not None:
            asyncio.get_running_loop().remove_reader(self._guest.fileno())
        for ours in (self._guest, self.sampling_monitor):
            if ours is not None:
                ours.close()
        return gone
