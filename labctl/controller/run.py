"""Runs a plan: one thread a pair, each taking what the dispatcher gives it, until none is left or the run is stopped.

A failing trial never ends a campaign. An attempt that was cut off (a node was lost, the run was interrupted) has no result:
it is kept aside, and the trial is repeated, here or by `run --resume`.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Final

from labctl.campaign import Campaign, Plan, PlannedTrial, estimate_run_s, grown
from labctl.controller.attempts import Attempts
from labctl.controller.dispatch import Dispatcher
from labctl.controller.keeping import Keeper, opened
from labctl.controller.recording import ITSELF_FAILED, record_trial
from labctl.controller.summary import BAD, Summary
from labctl.controller.telling import Journal, Telling
from labctl.errors import LabctlError
from labctl.events import (
    AttemptInterrupted,
    Notice,
    Observer,
    PlanGrown,
    RunEnded,
    RunStarted,
    TrialEnded,
    TrialStarted,
)
from labctl.lab import Lab, Pair
from labctl.results import RunStore, TrialRecord, load_run

MAX_ATTEMPTS: Final = 5
"""attempts at one trial within one run, over all pairs, before it is given up as failed"""
_JOIN_POLL_S: Final = 0.1
_STOP_GRACE_S: Final = 5.0
"""after a stop, before the nodes are closed under a trial that is still going"""

_log = logging.getLogger(__name__)


class Controller:
    """One run of a plan. Use once.

    Args:
        campaign: what is run
        plan: its trials
        lab: opened
        store: where results go
        observers: told what happens
        fail_fast: stop at the first trial that fails or has no valid load
        only: a glob; other trials are left for later, and the plan does not grow
        unsettled: of an adaptive campaign: the cells that need more repetitions, by the results that are stored
    """

    def __init__(
        self,
        campaign: Campaign,
        plan: Plan,
        lab: Lab,
        store: RunStore,
        observers: Iterable[Observer] = (),
        *,
        fail_fast: bool = False,
        only: str | None = None,
        unsettled: Callable[[], Collection[str]] | None = None,
    ) -> None:
        self._campaign = campaign
        self._plan = plan
        self._lab = lab
        self._store = store
        self._tell = Telling((Journal(store), *observers))
        self._fail_fast = fail_fast
        self._only = only
        self._lock = threading.Lock()
        self.summary = Summary()
        self._wanted = {t.number for t in plan.trials if t.supported and t.matches(only)}
        begun = {}
        for record in (trial.record for trial in load_run(store.path).trials()):
            begun[record.block] = record.pair
            if record.number in self._wanted and not record.warmup:
                self.summary.outcomes[str(record.outcome)] += 1
        self._stop = threading.Event()
        """ends what runs; to hand out nothing more is the dispatcher's"""
        self._unsettled = unsettled
        grows = unsettled is not None and only is None
        self._trials = Dispatcher(self._left(), lab.pairs, begun, self._grow if grows else None)
        self._keeper = Keeper(lab, self._trials, self._tell)
        self._attempts = Attempts(plan, campaign.timing, self._stop, self._tell)

    def run(self) -> Summary:
        """Run what is left of the plan. KeyboardInterrupt stops it cleanly."""
        started = time.monotonic()
        workers = [
            threading.Thread(target=self._work, args=(name,), name=f"pair-{name}")
            for name in self._lab.pairs
        ]
        try:
            self._tell(self._started())
            for pair in self._lab.pairs.values():
                self._tell(opened(pair))
            for worker in workers:
                worker.start()
            _join(workers)
        except KeyboardInterrupt:
            self.summary.interrupted = True
            self._stop_all(workers)
        self.summary.aside = self._keeper.aside
        self.summary.left = len(self._left())
        ended = RunEnded(
            dict(self.summary.outcomes),
            self.summary.left,
            self.summary.interrupted,
            time.monotonic() - started,
        )
        self._tell(ended)
        return self.summary

    def _started(self) -> RunStarted:
        planned = len(self._wanted)
        done = planned - len(self._left())
        pairs = tuple(self._lab.pairs)
        name, estimate_s = self._store.name, self._trials.left_s()
        lab = self._lab.name
        return RunStarted(self._store.path, name, planned, done, estimate_s, pairs, lab)

    def _left(self) -> list[PlannedTrial]:
        """What was asked for and has no result."""
        return [t for t in self._plan.left(self._store.finished()) if t.matches(self._only)]

    def _grow(self, pairs: int) -> list[PlannedTrial]:
        """The next blocks of an adaptive campaign, one for each pair that works; stored and told before they begin."""
        if self._unsettled is None or self._left():
            return []
        cells = self._unsettled()
        plan = grown(self._plan, self._campaign, cells, pairs, self._store.used())
        new = plan.trials[len(self._plan.trials) :]
        if not new:
            return []
        self._store.write_plan(plan)
        self._plan = plan
        on = tuple(dict.fromkeys(trial.cell for trial in new))
        blocks = tuple(dict.fromkeys(trial.block for trial in new))
        estimate_s = estimate_run_s(new, [*self._lab.pairs][:pairs])
        self._tell(PlanGrown(len(new), on, blocks, estimate_s))
        return list(new)

    def _stop_all(self, workers: Sequence[threading.Thread]) -> None:
        self._trials.stop()
        self._stop.set()
        with suppress(KeyboardInterrupt):  # asked again: no grace
            _join(workers, _STOP_GRACE_S)
        # Whoever is still in a long request: closing its node ends that at once, and what it started.
        self._lab.close()
        _join(workers)

    # --- one pair's thread ---

    def _work(self, name: str) -> None:
        try:
            while (trial := self._trials.take(name)) is not None:
                if (pair := self._keeper.whole(name)) is not None:
                    self._attempt(pair, trial)
        except LabctlError as fault:
            self._end(fault)
        except Exception as bug:  # noqa: BLE001 - told, and the trial is left for a later run
            _log.exception("pair %s", name)
            self._end(LabctlError(f"{ITSELF_FAILED}: {type(bug).__name__}: {bug}"))

    def _end(self, fault: LabctlError) -> None:
        """End the run by a fault; of what follows from the end, the first fault's or a person's, people are told."""
        with self._lock:
            ending = self._trials.stopped
            if not ending:
                self.summary.fault = fault
            self._trials.stop()
            self._stop.set()
        if ending:
            self._tell(Notice(f"while the run ended: {fault}"))

    def _attempt(self, pair: Pair, planned: PlannedTrial) -> None:
        """One attempt at a trial; when it is the last one, it is the result. LabctlError ends the run."""
        attempt = self._store.next_attempt(planned.number)
        started = time.monotonic()
        self._tell(
            TrialStarted(
                planned.number,
                planned.name,
                pair.name,
                attempt,
                planned.warmup,
                planned.estimate_s,
                self._trials.left_s(),
            )
        )
        raw, has_result = self._attempts.make(pair, planned)
        if not has_result:
            self._trials.cut(pair.name)
            if self._trials.cuts[planned.number] == MAX_ATTEMPTS and not self._trials.stopped:
                raw.outcome, has_result = "failed", True
                raw.reason = f"given up after {MAX_ATTEMPTS} attempts: {raw.reason}"
        record = record_trial(
            self._store, self._plan, planned, raw, pair, self._campaign, attempt=attempt
        )
        if has_result:
            self._finish(record, pair, time.monotonic() - started)
            return
        reason = raw.reason or ""
        self._tell(AttemptInterrupted(planned.number, planned.name, attempt, reason))
        if not self._trials.stopped:
            self._keeper.was_cut(pair.name, reason)

    def _finish(self, record: TrialRecord, pair: Pair, elapsed_s: float) -> None:
        with self._lock:
            if not record.warmup:
                self.summary.outcomes[str(record.outcome)] += 1
            if record.outcome in BAD and self._fail_fast:
                self.summary.failed_fast = True
                self._trials.stop()
        self._keeper.had_result(pair.name)
        self._trials.done(pair.name)
        self._tell(
            TrialEnded(
                record.number,
                record.name,
                str(record.outcome),
                str(record.verdict) if record.verdict else None,
                record.reason,
                record.warmup,
                elapsed_s,
                dict(record.figures),
                self._trials.left_s(),
            )
        )


def _join(workers: Sequence[threading.Thread], timeout_s: float | None = None) -> None:
    """Wait for threads in short steps, so that Ctrl-C is heard.

    Not by `join` with a time-out: a KeyboardInterrupt within it makes Python 3.11 take a living thread for ended.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while any(worker.is_alive() for worker in workers):
        if deadline is not None and time.monotonic() > deadline:
            return
        time.sleep(_JOIN_POLL_S)
