"""Programs on a host over an SSH transport: one that ends, and an agent that is spoken to.

The channel is the transport's own session: what is sent is the program's stdin, what is received its stdout, with nothing
between. A network can swallow the end of either side, so both say now and then that they live (`waits.SILENCE_S`).
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labctl.errors import WaitTimeout
from labctl.lab import waits
from labctl.node.protocol import encode

if TYPE_CHECKING:
    from paramiko import Channel, Transport

_RECEIVE_BYTES = 1 << 18
_LAST_WORDS_BYTES = 2000
_TICK_S = 0.5
_ALIVE = encode({"id": 0, "do": "alive", "with": {}})
"""a request whose answer nobody waits for"""


@contextmanager
def _lost_is_os_error() -> Iterator[None]:
    """What paramiko says of a connection that is gone depends on what it was at: an EOFError where it sent, say."""
    from paramiko import SSHException

    try:
        yield
    except (EOFError, SSHException) as error:
        raise ConnectionError(str(error) or "it has ended") from None


@dataclass(frozen=True)
class Done:
    """How a program ended."""

    status: int
    output: str
    complaint: str
    """what it printed to stderr"""


@_lost_is_os_error()
def execute(
    transport: "Transport", command: str, data: bytes = b"", *, timeout_s: float, wait: str
) -> Done:
    """Run a program to its end, with `data` as its stdin.

    Raises WaitTimeout (`wait`), or OSError when the connection is lost.
    """
    deadline = time.monotonic() + timeout_s
    channel = transport.open_session(timeout=timeout_s)
    output, complaint = bytearray(), bytearray()
    try:
        channel.settimeout(timeout_s)
        channel.exec_command(command)
        with suppress(OSError):  # it may end before it has read all
            channel.sendall(data)
        channel.shutdown_write()
        while not (channel.exit_status_ready() and channel.eof_received):
            _drain(channel, output, complaint)
            if time.monotonic() > deadline:
                raise WaitTimeout(wait, timeout_s)
            channel.status_event.wait(0.01)
            if channel.closed:
                break
        _drain(channel, output, complaint)
        return Done(channel.exit_status, output.decode(errors="replace"), _text(complaint))
    except TimeoutError:
        raise WaitTimeout(wait, timeout_s) from None
    finally:
        channel.close()


def _drain(channel: "Channel", output: bytearray, complaint: bytearray) -> None:
    while channel.recv_ready():
        output += channel.recv(_RECEIVE_BYTES)
    while channel.recv_stderr_ready():
        complaint += channel.recv_stderr(_RECEIVE_BYTES)


def _text(data: bytes | bytearray) -> str:
    return data.decode(errors="replace").strip()


class SshChannel:
    """A `NodeChannel` to an agent on another host."""

    @_lost_is_os_error()
    def __init__(
        self, transport: "Transport", command: str, first: bytes = b"", *, patience: float = 1.0
    ) -> None:
        """`first`: sent before anything else (a password, to sudo). OSError when the connection is lost."""
        self._silence_s = waits.SILENCE_S * patience
        self._channel = transport.open_session(timeout=waits.CONNECT_S * patience)
        self._channel.settimeout(waits.SEND_S * patience)
        self._channel.exec_command(command)
        self._unread = bytearray()
        self._words = bytearray()
        self._fault = ""
        self._send_lock = threading.Lock()
        self._closed = threading.Event()
        self._heard_s = time.monotonic()
        if first:
            self._channel.sendall(first)
        self._watch = threading.Thread(target=self._keep_alive, name="ssh-alive", daemon=True)
        self._watch.start()

    @_lost_is_os_error()
    def send(self, line: bytes) -> None:
        """Send one line. OSError when the channel is closed, or takes no more."""
        with self._send_lock:
            if self._closed.is_set():
                raise BrokenPipeError("the channel is closed")
            self._channel.sendall(line)

    def receive(self) -> bytes:
        """The next line, empty at the end."""
        searched = 0
        while True:
            end = self._unread.find(b"\n", searched) + 1
            if end:
                line = bytes(self._unread[:end])
                del self._unread[:end]
                return line
            searched = len(self._unread)
            heard = self._receive()
            if not heard:
                return b""
            self._unread += heard

    def _receive(self) -> bytes:
        while True:
            try:
                with _lost_is_os_error():
                    heard = self._channel.recv(_RECEIVE_BYTES)
            except TimeoutError:
                continue  # the watch ends a channel that is silent
            except OSError:
                return b""
            self._heard_s = time.monotonic()
            return heard

    def _keep_alive(self) -> None:
        """Say that we live; end the channel when nothing is heard of the other end any more."""
        said_s = time.monotonic()
        while not self._closed.wait(_TICK_S):
            self._listen()
            now_s = time.monotonic()
            if now_s - self._heard_s > self._silence_s:
                self._fault = f"nothing was heard of its host for {self._silence_s:g} s"
                self._hang_up()
                return
            if now_s - said_s >= waits.ALIVE_EVERY_S:
                said_s = now_s
                with suppress(OSError):
                    self.send(_ALIVE)

    def _listen(self) -> None:
        """Take what it complains of: what stands unread would stop it."""
        with suppress(OSError), _lost_is_os_error():
            while self._channel.recv_stderr_ready():
                self._words += self._channel.recv_stderr(_RECEIVE_BYTES)
                del self._words[:-_LAST_WORDS_BYTES]

    def close(self, timeout_s: float) -> None:
        """Close the agent's stdin, which ends it, and wait for that."""
        with self._send_lock:
            if self._closed.is_set():
                return
            self._closed.set()
            with suppress(OSError), _lost_is_os_error():
                self._channel.shutdown_write()
        transport = self._channel.get_transport()
        deadline = time.monotonic() + timeout_s
        while transport.is_active() and time.monotonic() < deadline:
            self._listen()
            if self._channel.status_event.wait(0.02) or self._channel.closed:
                break
        self._listen()
        self._hang_up()

    def _hang_up(self) -> None:
        with suppress(OSError), _lost_is_os_error():
            self._channel.close()

    def last_words(self) -> str:
        """What it complained of, and why the channel was given up."""
        self._listen()
        return "\n".join(filter(None, (self._fault, _text(self._words))))
