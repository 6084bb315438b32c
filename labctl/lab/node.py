"""A node as the controller sees it: requests go down a channel, answers and events come up.

`Node` is what the rooms above use; `NodeChannel` is what varies (a child process here, SSH on a lab of real hosts).
"""

import errno
import itertools
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from typing import Any, NoReturn, Protocol

from labctl.errors import LabHeld, NodeError, NodeLost, WaitTimeout
from labctl.lab import waits
from labctl.node.protocol import decode, encode

_NOISE_LINES = 5
_FULL = os.strerror(errno.ENOSPC)
_log = logging.getLogger(__name__)

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
    """One agent. Safe to use from several threads; events are told on the reader's thread.

    An agent that does not answer within a wait's time-out counts as lost: nothing is asked of it any more. Every time-out is
    as many times longer as its lab's patience says, here and in the agent.
    """

    def __init__(self, name: str, channel: NodeChannel, patience: float = 1.0) -> None:
        self.name = name
        self._patience = patience
        self.on_event: EventHandler | None = None
        self.hello: dict[str, Any] = {}
        self._channel = channel
        self._ids = itertools.count(1)
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self.over: Future[NoReturn] = Future()
        """fails with NodeLost as soon as the channel has ended, or the agent did not answer"""
        self._noise: deque[str] = deque(maxlen=_NOISE_LINES)
        self._reader = threading.Thread(target=self._read, name=f"node-{name}", daemon=True)
        self._reader.start()

    @property
    def lost(self) -> bool:
        """Whether the channel has ended, or the agent did not answer."""
        return self.over.done()

    def begin(self, do: str, **parameters: Any) -> Future[Any]:
        """Send a request; its answer comes by the future (NodeError, NodeLost, WaitTimeout)."""
        future: Future[Any] = Future()
        with self._lock:
            heed([self.over])
            number = next(self._ids)
            self._waiting[number] = future
        try:
            self._channel.send(encode({"id": number, "do": do, "with": parameters}))
        except OSError as error:
            self._end(f"it cannot be reached: {error}")
        return future

    def call(
        self,
        do: str,
        *,
        wait_s: float = waits.QUESTION_S,
        unless: Collection[Future[NoReturn]] = (),
        **parameters: Any,
    ) -> Any:
        """A request and its answer, as :meth:`result` waits for it. NodeError, NodeLost, WaitTimeout."""
        return self.result(self.begin(do, **parameters), do, wait_s, unless=unless)

    def result(
        self,
        future: Future[Any],
        wait: str,
        wait_s: float,
        *,
        unless: Collection[Future[NoReturn]] = (),
    ) -> Any:
        """The answer to a request that was begun, within `wait_s`; or the error of one of `unless`, when that comes first."""
        wait_s *= self._patience
        wait_for({future, *unless}, wait_s, FIRST_COMPLETED)
        if not future.done():
            heed(unless)
            timeout = WaitTimeout(wait, wait_s, place=f"node {self.name}")
            self._end(f"it did not answer: {timeout.fault}")
            raise timeout
        return future.result()

    def close(self) -> None:
        """Close the channel; the agent ends what it started."""
        within_s = waits.CLOSE_S * self._patience
        self._channel.close(within_s)
        self._reader.join(within_s)

    def _read(self) -> None:
        while line := self._channel.receive():
            try:
                message = decode(line)
            except ValueError:
                message = {}
            if "event" in message:
                self._tell(message["event"], message.get("data", {}))
            elif "id" in message:
                self._answer(message)
            else:
                # A login's banner, say: no message, but perhaps why there will be none.
                self._noise.append(line.decode(errors="replace").strip())
        self._end("its agent has ended")

    def _tell(self, event: str, data: dict[str, Any]) -> None:
        handler = self.on_event
        if handler is not None:
            try:
                handler(event, data)
            except Exception:  # noqa: BLE001 - logged with its traceback
                # A listener's fault is not the node's: answers must go on to come.
                _log.exception("node %s: a listener failed at the event %s", self.name, event)

    def _answer(self, message: dict[str, Any]) -> None:
        with self._lock:
            future = self._waiting.pop(message["id"], None)
        if future is None:
            return  # it came after its time-out
        if "error" in message:
            future.set_exception(_error(self.name, message["error"]))
        else:
            future.set_result(message["ok"])

    def _end(self, fault: str) -> None:
        words = "\n".join([*self._noise, self._channel.last_words()]).strip()
        lost = NodeLost(fault + (f": {words}" if words else ""), place=f"node {self.name}")
        with self._lock:
            if not self.over.done():
                self.over.set_exception(lost)
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_exception(self.over.exception())


def heed(ends: Iterable[Future[NoReturn]]) -> None:
    """Raise the error of the first that has come; nothing while none has."""
    for end in ends:
        if end.done():
            end.result()


def _error(name: str, error: dict[str, str]) -> Exception:
    code, message = error["code"], error["message"]
    place = f"node {name}"
    if code == "held":
        return LabHeld(
            f"the host is {message}",
            place=place,
            mend="wait for it to end, or run beside it with --share (its trials are marked)",
        )
    mend = "make room on that host's file system" if _FULL in message else None
    return NodeError(message, code=code, place=place, mend=mend)
