"""A node as the controller sees it: requests go down a channel, answers and events come up.

`Node` is what the rooms above use; `NodeChannel` is what varies (a child process here, SSH on a lab of real hosts).
"""

import itertools
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Protocol

from labctl.errors import LabHeld, NodeError, NodeLost, WaitTimeout
from labctl.lab import waits
from labctl.node.protocol import decode, encode

EventHandler = Callable[[str, dict[str, Any]], None]


class NodeChannel(Protocol):
    """Lines to and from an agent. Closing it is what makes the agent end everything."""

    def send(self, line: bytes) -> None:
        """Send one line. OSError when the channel is closed."""

    def receive(self) -> bytes:
        """The next line, `b""` when the channel has ended."""

    def close(self, timeout_s: float) -> None:
        """Close it and wait until the agent is gone."""

    def last_words(self) -> str:
        """What the agent said besides messages (its stderr), for an error's text."""


class Node:
    """One agent. Safe to use from several threads; events are told on the reader's thread."""

    def __init__(self, name: str, channel: NodeChannel) -> None:
        self.name = name
        self.on_event: EventHandler | None = None
        self.hello: dict[str, Any] = {}
        self._channel = channel
        self._ids = itertools.count(1)
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._lost: NodeLost | None = None
        self._reader = threading.Thread(target=self._read, name=f"node-{name}", daemon=True)
        self._reader.start()

    @property
    def lost(self) -> bool:
        """Whether the channel has ended."""
        return self._lost is not None

    def begin(self, do: str, **parameters: Any) -> Future[Any]:
        """Send a request; its answer comes by the future (NodeError, NodeLost, WaitTimeout)."""
        future: Future[Any] = Future()
        with self._lock:
            if self._lost is not None:
                raise self._lost
            number = next(self._ids)
            self._waiting[number] = future
        try:
            self._channel.send(encode({"id": number, "do": do, "with": parameters}))
        except OSError:
            self._end()
        return future

    def call(self, do: str, *, wait_s: float = waits.QUESTION_S, **parameters: Any) -> Any:
        """A request and its answer, within `wait_s`. NodeError, NodeLost, WaitTimeout."""
        return self.result(self.begin(do, **parameters), do, wait_s)

    def result(self, future: Future[Any], wait: str, wait_s: float) -> Any:
        """The answer to a request that was begun."""
        try:
            return future.result(wait_s)
        except FutureTimeout:
            raise WaitTimeout(wait, wait_s, place=f"node {self.name}") from None

    def close(self) -> None:
        """Close the channel; the agent ends what it started."""
        self._channel.close(waits.CLOSE_S)
        self._reader.join(waits.CLOSE_S)

    def _read(self) -> None:
        while line := self._channel.receive():
            try:
                message = decode(line)
            except (ValueError, json.JSONDecodeError):
                continue
            if "event" in message:
                if self.on_event is not None:
                    self.on_event(message["event"], message["data"])
                continue
            with self._lock:
                future = self._waiting.pop(message["id"], None)
            if future is None or future.cancelled():
                continue
            if "error" in message:
                future.set_exception(_error(self.name, message["error"]))
            else:
                future.set_result(message["ok"])
        self._end()

    def _end(self) -> None:
        words = self._channel.last_words()
        lost = NodeLost(
            "its agent has ended" + (f": {words}" if words else ""), place=f"node {self.name}"
        )
        with self._lock:
            self._lost = self._lost or lost
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(lost)


def _error(name: str, error: dict[str, str]) -> Exception:
    code, message = error["code"], error["message"]
    place = f"node {name}"
    if code == "held":
        return LabHeld(
            f"the host is {message}",
            place=place,
            mend="wait for it to end, or run beside it with --share (its trials are marked)",
        )
    return NodeError(message, code=code, place=place)
