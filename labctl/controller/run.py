"""Runs a plan: one thread a pair, each taking the next trial, until none is left or the run is stopped.

A failing trial never ends a campaign. An attempt that was cut off (a node was lost, the run was interrupted) has no result:
it is kept aside, and the trial is repeated, here or by `run --resume`.
"""

import logging
import threading
import time
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Final

from labctl.campaign import Campaign, Plan, PlannedTrial
from labctl.campaign.models import LinkSpec
from labctl.controller.recording import ITSELF_FAILED, record_trial
from labctl.controller.summary import BAD, Summary
from labctl.controller.telling import Journal, Telling
from labctl.errors import LabctlError, NodeLost
from labctl.events import (
    AttemptInterrupted,
    Notice,
    Observer,
    Progress,
    RunEnded,
    RunStarted,
    StateEntered,
    TrialEnded,
    TrialStarted,
)
from labctl.lab import Lab, Pair
from labctl.migration import Interrupted, RawTrial, TrialRun
from labctl.results import RunStore, TrialRecord, load_run

MAX_ATTEMPTS: Final = 5
"""attempts at one trial within one run, before it is given up as failed"""
LINK_TOLERANCE: Final = 0.03
"""a link that is further than this from what was asked is told"""
_JOIN_POLL_S: Final = 0.1
_STOP_GRACE_S: Final = 5.0
"""after a stop, before the nodes are closed under a trial that is still going"""

_log = logging.getLogger(__name__)


class Controller:
    """One run of a plan. Use once."""

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
    ) -> None:
        self._campaign = campaign
        self._plan = plan
        self._lab = lab
        self._pairs = dict(lab.pairs)
        self._store = store
        self._tell = Telling((Journal(store), *observers))
        self._fail_fast = fail_fast
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._told_links: set[tuple[str, LinkSpec, str]] = set()
        self.summary = Summary()
        wanted = [t for t in plan.trials if t.supported and _matches(t, only)]
        finished = store.finished()
        self._todo = [trial for trial in wanted if trial.number not in finished]
        self._wanted = {trial.number for trial in wanted}
        for stored in load_run(store.path).trials() if finished else ():
            if stored.record.number in self._wanted and not stored.record.warmup:
                self.summary.outcomes[str(stored.record.outcome)] += 1

    def run(self) -> Summary:
        """Run what is left of the plan. KeyboardInterrupt stops it cleanly."""
        started = time.monotonic()
        estimate_s = sum(trial.estimate_s for trial in self._todo)
        planned = len(self._wanted)
        done = planned - len(self._todo)
        workers = [
            threading.Thread(target=self._work, args=(name,), name=f"pair-{name}")
            for name in self._pairs
        ]
        try:
            self._tell(RunStarted(self._store.path, self._store.name, planned, done, estimate_s))
            for worker in workers:
                worker.start()
            _join(workers)
        except KeyboardInterrupt:
            self.summary.interrupted = True
            self._stop_all(workers)
        self.summary.left = len(self._todo)
        ended = RunEnded(
            dict(self.summary.outcomes),
            self.summary.left,
            self.summary.interrupted,
            time.monotonic() - started,
        )
        self._tell(ended)
        return self.summary

    def _stop_all(self, workers: Sequence[threading.Thread]) -> None:
        self._stop.set()
        with suppress(KeyboardInterrupt):  # asked again: no grace
            _join(workers, _STOP_GRACE_S)
        # Whoever is still in a long request: closing its node ends that at once, and what it started.
        self._lab.close()
        _join(workers)

    # --- one pair's thread ---

    def _work(self, name: str) -> None:
        while (trial := self._next()) is not None:
            has_result = False
            try:
                has_result = self._run_trial(name, trial)
            except LabctlError as fault:
                self._end(fault)
            except Exception as bug:  # noqa: BLE001 - told, and the trial put back
                _log.exception("trial %s", trial.name)
                self._end(LabctlError(f"{ITSELF_FAILED}: {type(bug).__name__}: {bug}"))
            finally:
                if not has_result:
                    self._put_back(trial)

    def _end(self, fault: LabctlError) -> None:
        """End the run by a fault; of what follows from the end, the first fault's or a person's, people are told."""
        with self._lock:
            ending = self._stop.is_set()
            if not ending:
                self.summary.fault = fault
            self._stop.set()
        if ending:
            self._tell(Notice(f"while the run ended: {fault}"))

    def _next(self) -> PlannedTrial | None:
        """Take the next trial; one that ends without a result is put back, and left for a later run."""
        with self._lock:
            return self._todo.pop(0) if self._todo and not self._stop.is_set() else None

    def _put_back(self, trial: PlannedTrial) -> None:
        with self._lock:
            self._todo.append(trial)

    def _run_trial(self, pair_name: str, planned: PlannedTrial) -> bool:
        """One trial, over as many attempts as it takes; whether it has a result. LabctlError ends the run."""
        for left in reversed(range(MAX_ATTEMPTS)):
            if self._stop.is_set():
                break
            pair = self._whole(pair_name)
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
                )
            )
            raw, has_result = self._attempt(pair, planned)
            if not (has_result or left or self._stop.is_set()):
                raw.outcome, has_result = "failed", True
                raw.reason = f"given up after {MAX_ATTEMPTS} attempts: {raw.reason}"
            record = record_trial(
                self._store, self._plan, planned, raw, pair, self._campaign, attempt=attempt
            )
            if has_result:
                self._finish(record, time.monotonic() - started)
                return True
            self._tell(AttemptInterrupted(planned.number, planned.name, attempt, raw.reason or ""))
        return False

    def _whole(self, pair_name: str) -> Pair:
        """The pair, opened anew when one of its nodes was lost. LabError when that fails."""
        if self._pairs[pair_name].lost:
            self._tell(Notice(f"pair {pair_name}: its nodes are started again"))
            self._pairs[pair_name] = self._lab.reopen(pair_name)
        return self._pairs[pair_name]

    def _attempt(self, pair: Pair, planned: PlannedTrial) -> tuple[RawTrial, bool]:
        """One attempt: what was seen, and whether that is a result; it is none where the attempt was cut off."""
        cell = self._plan.cell(planned.cell)
        trial = TrialRun(
            cell,
            self._campaign.timing,
            pair,
            planned.direction,
            stop=self._stop,
            on_state=lambda state, t_ns: self._entered(pair, planned, state, t_ns),
            on_progress=lambda said: self._tell(
                Progress(
                    planned.number,
                    str(said["status"]),
                    int(said["transferred_bytes"]),
                    int(said["remaining_bytes"]),
                    int(said["passes"]),
                )
            ),
        )
        try:
            return trial.run(), True
        except (NodeLost, Interrupted) as cut:
            trial.raw.outcome = "interrupted"
            trial.raw.reason = f"{cut.place}: {cut.fault}" if cut.place else cut.fault
            return trial.raw, False
        except Exception:  # noqa: BLE001 - a fault of ours in one trial must not take the others along
            trial.raw.outcome = "failed"
            trial.raw.reason = f"{ITSELF_FAILED}; controller.log says how"
            trial.raw.logs["controller"] = traceback.format_exc()
            return trial.raw, True

    def _finish(self, record: TrialRecord, elapsed_s: float) -> None:
        bad = record.outcome in BAD
        with self._lock:
            if not record.warmup:
                self.summary.outcomes[str(record.outcome)] += 1
            if bad and self._fail_fast:
                self.summary.failed_fast = True
                self._stop.set()
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
            )
        )

    def _entered(self, pair: Pair, planned: PlannedTrial, state: str, t_ns: int) -> None:
        self._tell(StateEntered(planned.number, state, t_ns))
        if state == "boot":
            self._tell_link(pair)

    def _tell_link(self, pair: Pair) -> None:
        """Tell, once a setting, of a link that is not what was asked."""
        link = pair.link
        for way in link.measured if link else ():
            assert link is not None
            off, asked = link.deviation(way), link.spec.bandwidth_bits_per_s
            told = (pair.name, link.spec, way)
            if off is None or asked is None or abs(off) <= LINK_TOLERANCE:
                continue
            if told not in self._told_links:
                self._told_links.add(told)
                gbit = asked / 1e9
                self._tell(
                    Notice(f"the link ({way}) was measured {off:+.1%} off its {gbit:g} Gbit/s")
                )


def _matches(trial: PlannedTrial, only: str | None) -> bool:
    return only is None or fnmatchcase(trial.cell, only) or fnmatchcase(trial.name, only)


def _join(workers: Sequence[threading.Thread], timeout_s: float | None = None) -> None:
    """Wait for threads in short steps, so that Ctrl-C is heard.

    Not by `join` with a time-out: a KeyboardInterrupt within it makes Python 3.11 take a living thread for ended.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while any(worker.is_alive() for worker in workers):
        if deadline is not None and time.monotonic() > deadline:
            return
        time.sleep(_JOIN_POLL_S)
