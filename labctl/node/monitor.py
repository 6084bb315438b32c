"""One question, asked of a QEMU again and again on a monitor of its own, at as little cost as can be.

The line is sent as it stands and the reply kept as it came: qemu.qmp took 7.6 % of a core for 100 answers a second, most of
it for tasks, futures and JSON that nobody reads before the machine has ended. Events come on this monitor too, and are
skipped: the machine's other monitor has them.
"""

from __future__ import annotations

import json
import socket
from typing import Any, NamedTuple

_NEGOTIATE = b'{"execute":"qmp_capabilities"}\n'
_REPLIES = (b'{"return"', b'{"error"')
_RECEIVE_BYTES = 1 << 16


class Reply(NamedTuple):
    """An answer as it came, and its three times."""

    due_ns: int
    request_ns: int
    reply_ns: int
    line: bytes


class Question:
    """Asks `execute`, one answer at a time.

    :ivar asked_ns: when the question was asked that is not answered yet, or 0.
    :ivar open: whether QEMU still listens.
    """

    def __init__(self, monitor: socket.socket, execute: str) -> None:
        self._monitor = monitor
        self._line = json.dumps({"execute": execute}, separators=(",", ":")).encode() + b"\n"
        self._due_ns = 0
        self._rest = b""
        self._negotiating = True
        self.asked_ns = 0
        self.open = True

    def negotiate(self, now_ns: int) -> None:
        """Begin; QEMU's answer to this is no :class:`Reply`."""
        self._send(_NEGOTIATE, now_ns)

    def ask(self, due_ns: int, now_ns: int) -> None:
        """Ask, unless the last question is not answered yet."""
        if self.open and not self.asked_ns:
            self._due_ns = due_ns
            self._send(self._line, now_ns)

    def _send(self, line: bytes, now_ns: int) -> None:
        self.asked_ns = now_ns
        try:
            self._monitor.send(line)
        except OSError:
            self.open = False

    def receive(self, clock: Any) -> Reply | None:
        """Take what has come; the reply, if it is whole now. `clock` gives its time in ns."""
        try:
            data = self._monitor.recv(_RECEIVE_BYTES)
        except OSError:
            data = b""
        now_ns: int = clock()
        if not data:
            self.open = False
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        found = None
        for line in lines:
            if not _is_reply(line):
                continue
            if self._negotiating:
                self._negotiating = False
            else:
                found = Reply(self._due_ns, self.asked_ns, now_ns, line)
            self.asked_ns = 0
        return found


def read(line: bytes) -> dict[str, Any]:
    """What a reply says: the answer, or QEMU's words under `error`."""
    said = json.loads(line)
    if "return" in said:
        answer: dict[str, Any] = said["return"]
        return answer
    return {"error": said["error"].get("desc", "")}


def _is_reply(line: bytes) -> bool:
    if line.startswith(_REPLIES):
        return True
    # The greeting, an event; or a reply of a QEMU that orders its keys otherwise.
    return bool({"return", "error"} & json.loads(line).keys()) if line.strip() else False
