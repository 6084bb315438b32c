"""One stream of events to all observers: one event at a time, each observer in the same order."""

import logging
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from labctl.errors import LabctlError
from labctl.events import Event, GuestSeen, Notice, Observer, Progress, StateEntered
from labctl.results import RunStore

_log = logging.getLogger(__name__)


class Telling:
    """Tells events, from whatever thread they happen on. An observer that raises is told nothing more: what listens
    must not end what is measured.
    """

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = list(observers)
        self._lock = threading.RLock()
        self._waiting: deque[Event] = deque()
        self._telling = False

    def __call__(self, event: Event) -> None:
        """Tell an event; one that happens while another is told is told after it."""
        with self._lock:
            self._waiting.append(event)
            if self._telling:
                return
            self._telling = True
            try:
                while self._waiting:
                    self._tell(self._waiting.popleft())
            finally:
                self._telling = False

    def _tell(self, event: Event) -> None:
        for observer in list(self._observers):
            try:
                observer.handle(event)
            except Exception as error:  # noqa: BLE001 - as the class says
                self._observers.remove(observer)
                _log.exception("an observer failed at %r", event)
                who = type(observer).__name__
                self._waiting.append(
                    Notice(
                        f"{who} failed and is told nothing more: {type(error).__name__}: {error}"
                    )
                )


class Journal:
    """The observer that keeps the run's journal."""

    def __init__(self, store: RunStore) -> None:
        self._store = store

    def handle(self, event: Event) -> None:
        """Write it down, but for what comes many times a second."""
        if isinstance(event, Progress | GuestSeen | StateEntered):
            return
        data: dict[str, Any] = asdict(event)
        data.pop("figures", None)
        # A full disk is told by the trial that cannot be stored.
        with suppress(LabctlError):
            self._store.journal(type(event).__name__, **data)
