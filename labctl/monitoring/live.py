"""The exporter: a run's metrics as Prometheus asks for them.

A scrape reads what is known already: scores are worked out when a trial ends, not when somebody asks.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from labctl.events import Event, PlanGrown, RunStarted
from labctl.monitoring.families import families
from labctl.monitoring.following import Follower
from labctl.monitoring.readings import METRICS, Reading, read
from labctl.monitoring.remote import RemoteWriter
from labctl.monitoring.replay import Replay, new_standing
from labctl.monitoring.sending import Fate
from labctl.monitoring.standing import Standing
from labctl.results import load_run
from labctl.results.run import Run

LAST_READ_S: Final = 2.5
"""so long a run's metrics are served after its end, for a last scrape of each who reads them"""

_log = logging.getLogger(__name__)


class LiveMetrics(Collector):
    """An observer of one run, that a registry collects."""

    def __init__(self, remote: RemoteWriter | None = None) -> None:
        self._lock = threading.Lock()
        self._standing: Standing | None = None
        self._remote = remote
        self._dropped = 0
        self._read_s = -inf
        """when it was collected last"""

    def handle(self, event: Event) -> None:
        """Take note of an event. One that cannot be is counted, and those after it are taken all the same."""
        with self._lock:
            try:
                self._take(event)
            except Exception:  # noqa: BLE001 - whatever it was, it is counted
                self._dropped += 1
                _log.exception("an event was not taken in: %r", event)

    def _take(self, event: Event) -> None:
        if self._standing is None:
            if not isinstance(event, RunStarted):
                return
            self._standing = _until_now(event)
        if isinstance(event, PlanGrown):
            assert self._standing.directory is not None
            self._standing.use(load_run(self._standing.directory).plan)
        self._standing.take(event, time.time())
        self._standing.score()

    def collect(self) -> Iterator[Metric]:
        """All metrics that have a value."""
        with self._lock:
            if self._standing is None:
                return
            self._read_s = time.monotonic()
            found = list(read(self._standing, time.time()))
            found += self._of_itself(self._standing)
        yield from families(found)

    @contextmanager
    def read_to_the_end(self) -> Iterator[None]:
        """Leave the context a little later, if somebody reads every few seconds, so that what it ends with is read too."""
        yield
        if time.monotonic() - self._read_s < 2 * LAST_READ_S:
            time.sleep(LAST_READ_S)

    def _of_itself(self, standing: Standing) -> Iterator[Reading]:
        common = standing.labels
        yield Reading(METRICS["events_dropped"], common, self._dropped)
        if (remote := self._remote) is None:
            return
        for fate in Fate:
            labels = common | {"fate": str(fate)}
            yield Reading(METRICS["remote_write_trials"], labels, remote.trials[fate])
        yield Reading(METRICS["remote_write_samples"], common, remote.samples)
        yield Reading(METRICS["remote_write_retries"], common, remote.retries)
        yield Reading(METRICS["remote_write_waiting_trials"], common, remote.waiting)


def _until_now(started: RunStarted) -> Standing:
    """What was told of the run before it was resumed."""
    run = load_run(started.directory)
    standing = new_standing(run)
    for at_s, event in Replay(run).new() if started.done else ():
        standing.take(event, at_s)
    return standing


class FollowedMetrics(Collector):
    """Runs that other processes run, or ran, as a registry collects them: looked at when somebody asks."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._followers = [Follower(run) for run in runs]
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """All metrics of all runs."""
        with self._lock:
            found: list[Reading] = []
            for follower in self._followers:
                follower.look()
                found += read(follower.standing, time.time())
        yield from families(found)
