"""Remote write: the samples of each trial to a Prometheus, while the run goes on.

A trial's samples are sent when it has ended, by a thread of its own that reads them from the results directory: what waits is a
list of trials, and no data. Where Prometheus stays away the oldest of a full list are left out, counted and told. Nothing of the
results is lost by that; `labctl export RUN --openmetrics FILE` brings all of it later.
"""

import logging
import os
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    wait_random_exponential,
)
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_base

from labctl.errors import LabctlError
from labctl.events import Event, PlanGrown, RunStarted, TrialEnded
from labctl.monitoring.samples import RunSeries
from labctl.monitoring.sending import Away, Fate, Refused, Target
from labctl.monitoring.wire import body, parts
from labctl.results import load_run

MAX_WAITING: Final = 1_000
"""trials"""
SAMPLES_A_REQUEST: Final = 2_000
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 15.0
"""between two tries while nobody answers"""
FLUSH_S: Final = 20.0
"""after the run, for what still waits"""
_NICE: Final = 10

_log = logging.getLogger(__name__)


class RemoteWriter:
    """An observer that sends the samples of trials. A context manager: leaving it sends what waits, for a while, and ends.

    :ivar trials: how many have met which fate
    :ivar samples: how many were sent
    :ivar retries: requests that were sent again
    """

    def __init__(self, target: Target, tell: Callable[[str], None]) -> None:
        """`tell`: a person, when Prometheus goes away and when it returns."""
        self._target = target
        self._tell = tell
        self.trials: Counter[Fate] = Counter()
        self.samples = 0
        self.retries = 0
        self._series: RunSeries | None = None
        self._waiting: deque[int] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._give_up = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._serve, name="remote-write", daemon=True)

    @property
    def waiting(self) -> int:
        """Trials whose samples are to be sent."""
        with self._changed:
            return len(self._waiting)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._closing.set()
            self._changed.notify_all()
        with suppress(KeyboardInterrupt):
            self._thread.join(FLUSH_S)
        self._give_up.set()
        self._thread.join()
        with self._changed:
            self.trials[Fate.DROPPED] += len(self._waiting)
            self._waiting.clear()
        if missing := self.trials[Fate.DROPPED] + self.trials[Fate.REFUSED]:
            self._tell(
                f"the samples of {missing} trials are not in Prometheus; they are in the results: "
                "`labctl export --openmetrics` brings them"
            )

    def handle(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case RunStarted():
                self._series = RunSeries(load_run(event.directory), event.lab)
            case PlanGrown() if self._series is not None:
                self._series.plan_has_grown()
            case TrialEnded():
                with self._changed:
                    self._waiting.append(event.number)
                    if len(self._waiting) > MAX_WAITING:
                        self._waiting.popleft()
                        self.trials[Fate.DROPPED] += 1
                    self._changed.notify_all()
            case _:
                pass

    # --- in a thread of its own ---

    def _serve(self) -> None:
        with suppress(OSError):  # what is measured comes first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while (number := self._next()) is not None:
            try:
                self._send(number)
                fate = Fate.SENT
            except Away:  # and asked to end
                fate = Fate.DROPPED
                self._give_up.set()
            except Refused as fault:
                fate = Fate.REFUSED
                if not self.trials[fate]:
                    self._tell(f"samples are refused: {fault}")
            except LabctlError as fault:
                fate = Fate.DROPPED
                self._tell(f"the samples of trial {number} cannot be read: {fault}")
            self.trials[fate] += 1

    def _next(self) -> int | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
            ending = self._give_up.is_set() or not self._waiting
            return None if ending else self._waiting.popleft()

    def _send(self, number: int) -> None:
        assert self._series is not None
        refused: Refused | None = None
        for part in parts(self._series.of(number), SAMPLES_A_REQUEST):
            data = body(part)
            again = Retrying(
                sleep=sleep_using_event(self._closing),
                stop=_LastTry(self._closing, self._give_up),
                wait=wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S),
                retry=retry_if_exception_type(Away),
                before_sleep=self._note_away,
                reraise=True,
            )
            try:
                again(self._target.send, data)
            except Refused as fault:  # the other parts may be taken
                refused = refused or fault
                continue
            self.samples += sum(of.t_ms.size for of in part)
            if self._away:
                self._away = False
                self._tell("remote write goes on")
        if refused is not None:
            raise refused

    def _note_away(self, state: RetryCallState) -> None:
        self.retries += 1
        if not self._away:
            self._away = True
            fault = state.outcome.exception() if state.outcome else None
            self._tell(f"remote write waits: {fault}")


class _LastTry(stop_base):
    """Stops when giving up; and when the run has ended, after one try more, which may be the first since somebody answers again."""

    def __init__(self, closing: threading.Event, give_up: threading.Event) -> None:
        self._closing, self._give_up = closing, give_up
        self._is_last = False

    def __call__(self, _state: RetryCallState) -> bool:
        was_last, self._is_last = self._is_last, self._closing.is_set()
        return was_last or self._give_up.is_set()
