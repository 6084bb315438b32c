"""What every group of an agent's services has in common.

A group holds what it has started, offers handlers by the name of the request they answer, and ends all of it in `close`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Callable

from . import procfs
from .host import LiveState
from .protocol import Message, RequestError

Params = dict[str, Any]
Handler = Callable[[Params], Awaitable[Any]]
Send = Callable[[Message], None]


class Place:
    """Where an agent keeps its live state: nowhere, until `hello` has opened it."""

    def __init__(self, run: str, role: str) -> None:
        self.run = run
        self.role = role
        self._state: LiveState | None = None

    def open(self) -> LiveState:
        """Make the live state."""
        if self._state is None:
            self._state = LiveState(self.run, self.role)
        return self._state

    @property
    def state(self) -> LiveState:
        """:raise RequestError: ``order`` before `hello`."""
        if self._state is None:
            raise RequestError("order", "hello comes first")
        return self._state

    def close(self) -> None:
        """Forget this agent."""
        if self._state is not None:
            self._state.close()
            self._state = None


def anchor() -> dict[str, Any]:
    """Both clocks read together, as an answer's field."""
    monotonic_ns, realtime_ns = procfs.anchors()
    return {"anchor": {"monotonic_ns": monotonic_ns, "realtime_ns": realtime_ns}}
