"""Messages between the controller and a node: JSON lines, one object a line.

Request  ``{"id": 7, "do": "machine.start", "with": {...}}``
Response ``{"id": 7, "ok": {...}}`` or ``{"id": 7, "error": {"code": "...", "message": "..."}}``
Event    ``{"event": "progress", "data": {...}}`` (never answered)

Binary data travels as base64 text inside a message; it is rare and large (one batch of beats a trial).
"""

from __future__ import annotations

import base64
import json
from typing import Any

Message = dict[str, Any]

MAX_LINE_BYTES = 512 * 1024 * 1024


class RequestError(Exception):
    """A request that cannot be carried out; the code is what the controller reacts to, the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def encode(message: Message) -> bytes:
    """One message as one line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Read one line. :raise ValueError: when it is not a JSON object."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("a message is a JSON object")  # noqa: TRY004 - one error for all that is no message
    return message


def response(request_id: int, ok: Any) -> Message:
    """The answer to a request."""
    return {"id": request_id, "ok": ok}


def failure(request_id: int, code: str, message: str) -> Message:
    """The answer to a request that failed."""
    return {"id": request_id, "error": {"code": code, "message": message}}


def event(name: str, data: Message | None = None) -> Message:
    """Something told without being asked."""
    return {"event": name, "data": data or {}}


def pack(data: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(data).decode("ascii")


def unpack(text: str) -> bytes:
    """Text from :func:`pack` as bytes."""
    return base64.b64decode(text)
