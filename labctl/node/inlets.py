"""Where an observer's bytes come from: the pipe of a QEMU on its own host, or the relay of another host."""

from __future__ import annotations

import hmac
import os
import secrets
import select
import socket
import time
from collections import deque
from contextlib import suppress
from typing import Any, NamedTuple, Union

from . import local_pipes
from .beats import SIDES
from .patience import longer
from .protocol import RequestError
from .relay import ANSWER, ASK, DATA, FRAME, GREETING_BYTES, READ_BYTES, SEND_S, TOKEN_BYTES

ASK_EVERY_NS = 100_000_000
"""so often a relay is asked for its time"""
KNOWN_AFTER = 8
"""answers until the clocks count as compared; they follow each other at once"""
SILENT_S = 5.0
"""a relay that answers nothing for so long has gone"""
_FLUSH_S = 1.0
_GREETING_S = 2.0
_REMEMBERED = 32


class Chunk(NamedTuple):
    """Bytes of the beat stream, and when the first of them came and the last were read, on the observer's clock."""

    came_ns: int
    read_ns: int
    data: bytes


class PipeInlet:
    """The pipe of a QEMU on this host."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._handle = local_pipes.make(path)

    def fileno(self) -> int:
        """For select."""
        return self._handle

    def take(self, came_ns: int) -> list[Chunk]:
        """What has come."""
        try:
            data = os.read(self._handle, READ_BYTES)
        except BlockingIOError:
            return []
        return [Chunk(came_ns, time.monotonic_ns(), data)]

    def flush(self) -> list[Chunk]:
        """What has come until now; nothing is on its way to a pipe."""
        return self.take(time.monotonic_ns())

    def close(self) -> None:
        """Remove the pipe."""
        os.close(self._handle)
        with suppress(FileNotFoundError):
            os.unlink(self.path)


class ClockComparison:
    """How far a relay's clock is behind the observer's, from questions and answers.

    An answer whose way took r says it within r/2, whichever way was the longer; of the last ones the shortest is believed.
    """

    def __init__(self) -> None:
        self._last: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)
        self.answers = 0

    def add(self, asked_ns: int, theirs_ns: int, got_ns: int) -> None:
        """An answer."""
        self._last.append((got_ns - asked_ns, (asked_ns + got_ns) // 2 - theirs_ns))
        self.answers += 1

    @property
    def known(self) -> bool:
        """Whether there were enough answers."""
        return self.answers >= KNOWN_AFTER

    @property
    def behind_ns(self) -> int:
        """What to add to a time of the relay to have the observer's."""
        return min(self._last)[1]

    @property
    def uncertainty_ns(self) -> int:
        """Half of the shortest way there and back."""
        return (min(self._last)[0] + 1) // 2

    def as_dict(self) -> dict[str, int]:
        """As it is told."""
        return {"offset_ns": self.behind_ns, "uncertainty_ns": self.uncertainty_ns}


class RelayInlet:
    """The relay of another host, which has connected."""

    def __init__(self, connection: socket.socket) -> None:
        self.clock = ClockComparison()
        self._connection = connection
        self._connection.settimeout(longer(SEND_S))
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = bytearray()
        self._asked_ns = 0
        self._answered_ns = 0
        """the question that was answered last, by when it was asked"""
        self._heard_ns = time.monotonic_ns()

    def fileno(self) -> int:
        """For select."""
        return self._connection.fileno()

    def ask_when_due(self, now_ns: int) -> None:
        """Ask for its time: often until the clocks are compared, now and then afterwards.

        :raise RequestError: ``relay`` when it does not answer any more.
        """
        silent_s = longer(SILENT_S)
        if now_ns - self._heard_ns > silent_s * 1e9:
            raise RequestError("relay", f"nothing was heard of it for {silent_s:g} s")
        at_once = not self.clock.known and self._answered_ns == self._asked_ns
        if at_once or now_ns >= self._asked_ns + ASK_EVERY_NS:
            self._ask()

    def take(self, _came_ns: int = 0) -> list[Chunk]:
        """What has come over the network, stamped where it came from the guest.

        :raise RequestError: ``relay`` when it has gone.
        """
        try:
            heard = self._connection.recv(READ_BYTES)
        except OSError as error:
            raise RequestError("relay", str(error)) from None
        if not heard:
            raise RequestError("relay", "its connection has ended")
        self._heard_ns = time.monotonic_ns()
        self._unread += heard
        return self._frames()

    def flush(self) -> list[Chunk]:
        """What the guest had said on that host until now.

        :raise RequestError: ``relay`` when it does not answer.
        """
        self._ask()
        chunks: list[Chunk] = []
        within_s = longer(_FLUSH_S)
        deadline = time.monotonic() + within_s
        while self._answered_ns < self._asked_ns:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self], [], [], left)[0]:
                raise RequestError("relay", f"no answer within {within_s:g} s")
            chunks += self.take()
        return chunks

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _ask(self) -> None:
        self._asked_ns = time.monotonic_ns()
        try:
            self._connection.sendall(ASK.pack(self._asked_ns))
        except OSError as error:
            raise RequestError("relay", str(error)) from None

    def _frames(self) -> list[Chunk]:
        chunks: list[Chunk] = []
        while len(self._unread) >= FRAME.size:
            kind, first_ns, second_ns, length = FRAME.unpack_from(self._unread)
            end = FRAME.size + length
            if len(self._unread) < end:
                break
            if kind == ANSWER:
                self.clock.add(first_ns, second_ns, self._heard_ns)
                self._answered_ns = first_ns
            elif kind == DATA:
                behind_ns = self.clock.behind_ns
                data = bytes(self._unread[FRAME.size : end])
                chunks.append(Chunk(first_ns + behind_ns, second_ns + behind_ns, data))
            del self._unread[:end]
        return chunks


Inlet = Union[PipeInlet, RelayInlet]


class Door:
    """Where relays come in: a port that takes those that know the trial's token, and nobody else."""

    def __init__(self, address: str) -> None:
        self.token = secrets.token_hex(TOKEN_BYTES)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            self._listener = socket.create_server((address, 0), family=family)
        except OSError as error:
            raise RequestError("relay", f"{address} cannot be listened on: {error}") from None
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]

    def fileno(self) -> int:
        """For select."""
        return self._listener.fileno()

    def admit(self) -> tuple[str, RelayInlet] | None:
        """Who has come: the side and its inlet; None when it did not know the token."""
        try:
            connection, _peer = self._listener.accept()
        except OSError:
            return None
        connection.settimeout(longer(_GREETING_S))
        said = b""
        with suppress(OSError):
            while len(said) < GREETING_BYTES:
                heard = connection.recv(GREETING_BYTES - len(said))
                if not heard:
                    break
                said += heard
        right = hmac.compare_digest(said[:TOKEN_BYTES], bytes.fromhex(self.token))
        if not right or said[TOKEN_BYTES:] not in (b"\0", b"\1"):
            connection.close()
            return None
        return SIDES[said[TOKEN_BYTES]], RelayInlet(connection)

    def describe(self) -> dict[str, Any]:
        """What a relay needs to know."""
        return {"port": self.port, "token": self.token}

    def close(self) -> None:
        """Take nobody any more."""
        self._listener.close()
