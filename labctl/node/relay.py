"""The beats of a guest on one host, carried to the observer on another.

A relay reads the pipe that QEMU on its host writes to, as the observer reads its own, and says when the bytes came: by its
own clock. The observer asks it for its time again and again; the answers whose way was shortest say how far the two clocks
are apart, and how surely. So the beats of both hosts are stamped on one clock, whatever the network does on the way, and no
clock of any host has to be right.

The relay sends frames: a header of kind u8, two times i64, length u32, and so many bytes.

====  =======  ===================================  =====================================  ===================
kind  name     first time                           second time                            bytes
====  =======  ===================================  =====================================  ===================
1     DATA     when the first of the bytes came     when they were read, relay's clock     of the beat stream
2     ANSWER   the observer's, as it was asked      now, relay's clock                     none
====  =======  ===================================  =====================================  ===================

The observer sends its own time, an i64, to ask. What has come by then is sent before the answer.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

from . import local_pipes
from .beats import SIDES
from .patience import longer
from .protocol import RequestError

DATA, ANSWER = 1, 2
FRAME = struct.Struct("<BqqI")
ASK = struct.Struct("<q")
TOKEN_BYTES = 16
GREETING_BYTES = TOKEN_BYTES + 1
"""a token, by which the observer knows its trial, and the number of the side"""
GATHER_S = 0.01
"""so long bytes gather before they are taken together: see :mod:`.observer`"""
CONNECT_S = 5.0
SEND_S = 5.0
CLOSE_S = 1.0
READ_BYTES = 1 << 16
_NICE = -11
_FIFO_PRIORITY = 1


def run_before_others() -> None:
    """Let the calling thread run before anything else that wants its core, where the host allows it; a plain user's does not,
    and the p99.9 of the gaps before a migration shows what that costs.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_FIFO_PRIORITY))


class Relay:
    """Carries one side's beats of one trial.

    :raise RequestError: ``relay`` when the observer does not answer.
    """

    def __init__(
        self, directory: Path, nonce: int, side: str, address: str, port: int, token: str
    ) -> None:
        self.path = str(directory / f"beats-{nonce:08x}-{side}.pipe")
        try:
            self._observer = socket.create_connection((address, port), longer(CONNECT_S))
        except OSError as error:
            raise RequestError(
                "relay", f"the observer at {address} port {port} does not answer: {error}"
            ) from None
        self._observer.settimeout(longer(SEND_S))
        self._observer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wake_read, self._wake_write = os.pipe()
        self._handles = [self._wake_read, self._wake_write]
        self._thread = threading.Thread(target=self._serve, name="relay", daemon=True)
        self._asked = bytearray()
        try:
            self._pipe = local_pipes.make(self.path)
            self._handles.append(self._pipe)
            self._observer.sendall(bytes.fromhex(token) + bytes([SIDES.index(side)]))
        except OSError as error:
            self.close()
            raise RequestError("relay", f"the beats cannot be relayed: {error}") from None
        self._thread.start()

    def close(self) -> None:
        """Stop, and remove the pipe. Safe again."""
        if self._thread.is_alive():
            os.write(self._wake_write, b"x")
            self._thread.join(longer(SEND_S + CLOSE_S))
        self._observer.close()
        while self._handles:
            os.close(self._handles.pop())
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    def _serve(self) -> None:
        run_before_others()
        # An observer that has gone is told of by those who wait for the beats.
        with suppress(OSError):
            while self._carry():
                pass

    def _carry(self) -> bool:
        """Wait for bytes or a question and deal with it; False once this is to end."""
        others: list[int | socket.socket] = [self._observer, self._wake_read]
        ready, _, _ = select.select([self._pipe, *others], [], [])
        came_ns = time.monotonic_ns()
        if self._pipe in ready:
            more, _, _ = select.select(others, [], [], GATHER_S)
            ready = [*ready, *more]
        if self._wake_read in ready:
            return False
        if self._observer in ready and not self._hear():
            return False
        if self._pipe in ready:
            self._send(came_ns)
        self._answer()
        return True

    def _hear(self) -> bool:
        heard = self._observer.recv(READ_BYTES)
        self._asked += heard
        return bool(heard)

    def _send(self, came_ns: int) -> None:
        with suppress(BlockingIOError):
            data = os.read(self._pipe, READ_BYTES)
            read_ns = time.monotonic_ns()
            self._observer.sendall(FRAME.pack(DATA, came_ns, read_ns, len(data)) + data)

    def _answer(self) -> None:
        while len(self._asked) >= ASK.size:
            (asked_ns,) = ASK.unpack_from(self._asked)
            del self._asked[: ASK.size]
            self._send(time.monotonic_ns())
            self._observer.sendall(FRAME.pack(ANSWER, asked_ns, time.monotonic_ns(), 0))
