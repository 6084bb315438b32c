"""The agent: reads requests from stdin, answers on stdout, and ends all it started when stdin ends.

Where a network lies between, the end of a controller may never be heard of: then the agent ends too when it has heard
nothing for a while. The controller says `alive` now and then.

Requests of one agent run side by side (a migration is one long request while samples are told as events). A request that
fails answers with a code and a text; nothing but the end of the channel, or a termination signal, ends the agent.
"""

from __future__ import annotations

import asyncio
import os
import resource
import select
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any

from . import patience
from .beat_services import BeatServices
from .host_services import HostServices
from .machine_services import MachineServices
from .protocol import MAX_LINE_BYTES, Message, RequestError, decode, encode, failure, response
from .services import Handler, Params, Place, Send, anchor


class Agent:
    """The services of one node: a machine, an observer and a sampler at a time."""

    def __init__(self, run: str, role: str, send: Send) -> None:
        self._send = send
        self._place = Place(run, role)
        # In the order they are closed: the host is given back when nothing is left on it.
        self._groups = (
            BeatServices(self._place, send),
            MachineServices(self._place, send),
            HostServices(self._place),
        )
        self.services: dict[str, Handler] = {"alive": _alive}
        for group in self._groups:
            self.services.update(group.handlers)

    async def answer(self, request: Message) -> None:
        """Carry out one request and send its answer."""
        number = request.get("id", 0)
        try:
            service = self.services.get(request["do"])
            if service is None:
                raise RequestError("unknown", f"no service {request['do']!r}")
            answer = response(number, await service(request.get("with", {})))
        except RequestError as error:
            answer = failure(number, error.code, error.message)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            answer = failure(number, "os", where + (error.strerror or str(error)))
        except Exception:  # noqa: BLE001 - told to the controller; the agent lives on
            answer = failure(number, "bug", traceback.format_exc())
        self._send(answer)

    async def close(self) -> None:
        """End all that this node started. Safe at any moment, and again."""
        for group in self._groups:
            try:
                await group.close()
            except Exception:  # noqa: BLE001 - one that cannot be ended must not keep the others
                traceback.print_exc()
        self._place.close()


async def _alive(_params: Params) -> Any:
    return anchor()


async def serve(run: str, role: str, silence_s: float | None = None) -> None:
    """Answer requests until stdin ends, nothing was heard for `silence_s`, or the agent is asked to end; then end all it
    started.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    # A duplicate carries the messages; fd 1 then is stderr, so that no stray print can break the channel.
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def send(message: Message) -> None:
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
            await asyncio.wait(
                {reading, stopping}, timeout=silence_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not reading.done():
                reading.cancel()
                if not stopping.done():
                    print(
                        f"nothing was heard of its controller for {silence_s:g} s", file=sys.stderr
                    )
                break
            line = reading.result()
            if not line:
                break
            try:
                request = decode(line)
            except ValueError as error:
                print(f"not a request: {error}", file=sys.stderr)
                continue
            tasks = [task for task in tasks if not task.done()]
            tasks.append(asyncio.ensure_future(agent.answer(request)))
    finally:
        stopping.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await agent.close()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            # stdout may be one socket with stdin, which the loop has made non-blocking.
            select.select([], [fd], [])


def main(argv: list[str]) -> int:
    """``RUN ROLE [PATIENCE [SILENCE_S]]``: serve until stdin ends, or nothing was heard for so long; see :mod:`.patience`."""
    if len(argv) not in (2, 3, 4):
        print("usage: agent RUN ROLE [PATIENCE [SILENCE_S]]", file=sys.stderr)
        return 2
    run, role, *more = argv
    if more:
        patience.be(float(more[0]))
    silence_s = patience.longer(float(more[1])) if len(more) > 1 else None
    # Where ip, tc and setpriv are; not every way in has it.
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
    # A QEMU that pins its guest's memory (RDMA, zero-copy) has its limits from us.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)
    asyncio.run(serve(run, role, silence_s))
    return 0
