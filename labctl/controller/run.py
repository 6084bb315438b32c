"""Runs a plan: one thread a pair, each taking the next trial, until none is left or the run is stopped.

A failing trial never ends a campaign. An attempt that was cut off (a node was lost, the run was interrupted) has no result:
it is kept aside, and the trial is repeated, here or by `run --resume`.
"""

import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, is_dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from labctl.campaign import Campaign, Plan, PlannedTrial
from labctl.controller.recording import Context, record_trial
from labctl.errors import LabctlError, NodeLost
from labctl.events import (
    AttemptInterrupted,
    Event,
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
from labctl.results import RunStore, TrialRecord

MAX_ATTEMPTS: Final = 5
"""attempts at one trial within one run, before it is given up as failed"""
LINK_TOLERANCE: Final = 0.03
"""a link that is further than this from what was asked is told"""
_JOIN_POLL_S: Final = 0.2
_STOP_GRACE_S: Final = 5.0
"""after a stop, before the nodes are closed under a trial that is still going"""
_BAD: Final = ("failed", "invalid_load")


@dataclass
class Summary:
    """How a run ended."""

    outcomes: Counter[str] = field(default_factory=Counter)
    left: int = 0
    interrupted: bool = False
    fault: LabctlError | None = None
    """what ended the run before its time, if anything did"""

    @property
    def exit_code(self) -> int:
        """0 ran to its end; 1 trials failed or had no valid load; 3 the lab was lost; 130 interrupted."""
        if self.interrupted:
            return 130
        if self.fault is not None:
            return self.fault.exit_code
        return 1 if any(self.outcomes[bad] for bad in _BAD) else 0


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
        self._store = store
        self._observers = (*observers, Journal(store))
        self._fail_fast = fail_fast
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._told_links: set[str] = set()
        self.summary = Summary()
        wanted = [t for t in plan.trials if t.supported and _matches(t, only)]
        finished = store.finished()
        self._todo = [trial for trial in wanted if trial.number not in finished]
        self._planned = len(wanted)

    def run(self) -> Summary:
        """Run what is left of the plan. KeyboardInterrupt stops it cleanly."""
        started = time.monotonic()
        estimate_s = sum(trial.estimate_s for trial in self._todo)
        done = self._planned - len(self._todo)
        self._tell(RunStarted(self._store.path, self._store.name, self._planned, done, estimate_s))
        workers = [
            threading.Thread(target=self._work, args=(name,), name=f"pair-{name}")
            for name in self._lab.pairs
        ]
        for worker in workers:
            worker.start()
        try:
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
        _join(workers, _STOP_GRACE_S)
        # Whoever is still in a long request: closing its node ends that at once, and what it started.
        self._lab.close()
        _join(workers)

    # --- one pair's thread ---

    def _work(self, name: str) -> None:
        try:
            while (trial := self._next()) is not None:
                if not self._run_trial(name, trial):
                    self._put_back(trial)
        except LabctlError as fault:
            with self._lock:
                self.summary.fault = self.summary.fault or fault
            self._stop.set()

    def _next(self) -> PlannedTrial | None:
        """Take the next trial; one that ends without a result is put back."""
        with self._lock:
            return self._todo.pop(0) if self._todo and not self._stop.is_set() else None

    def _put_back(self, trial: PlannedTrial) -> None:
        with self._lock:
            self._todo.insert(0, trial)

    def _run_trial(self, pair_name: str, planned: PlannedTrial) -> bool:
        """One trial, over as many attempts as it takes; whether it has a result. LabctlError ends the run."""
        for left in reversed(range(MAX_ATTEMPTS)):
            pair = self._lab.pairs[pair_name]
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
            raw, cut = self._attempt(pair, planned)
            if cut is not None and left == 0:
                raw.outcome, cut = "failed", None
                raw.reason = f"given up after {MAX_ATTEMPTS} attempts: {raw.reason}"
            record = self._record(pair, planned, raw, attempt)
            if cut is None:
                self._finish(record, time.monotonic() - started)
                return True
            self._tell(AttemptInterrupted(planned.number, planned.name, attempt, raw.reason or ""))
            if self._stop.is_set():
                break
            self._reopen(pair_name)
        return False

    def _attempt(self, pair: Pair, planned: PlannedTrial) -> tuple[RawTrial, LabctlError | None]:
        """One attempt: what was seen, and what cut it off."""
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
            return trial.run(), None
        except (NodeLost, Interrupted) as cut:
            trial.raw.outcome = "interrupted"
            trial.raw.reason = str(cut.fault)
            return trial.raw, cut
        except Exception:  # noqa: BLE001 - a fault of ours in one trial must not take the others along
            trial.raw.outcome = "failed"
            trial.raw.reason = "labctl itself failed; controller.log says how"
            trial.raw.logs["controller"] = traceback.format_exc()
            return trial.raw, None

    def _record(
        self, pair: Pair, planned: PlannedTrial, raw: RawTrial, attempt: int
    ) -> TrialRecord:
        context = Context(
            self._campaign.name,
            self._store.name,
            pair.name,
            pair.shared_host,
            str(pair.a.probe.get("guest_sha256", "")),
        )
        cell = self._plan.cell(planned.cell)
        return record_trial(self._store, planned, cell, raw, context, attempt=attempt)

    def _finish(self, record: TrialRecord, elapsed_s: float) -> None:
        if not record.warmup:
            with self._lock:
                self.summary.outcomes[str(record.outcome)] += 1
        if self._fail_fast and record.outcome in _BAD:
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

    def _reopen(self, pair_name: str) -> None:
        self._tell(Notice(f"pair {pair_name}: its nodes are started again"))
        self._lab.reopen(pair_name)
        self._told_links.clear()

    def _entered(self, pair: Pair, planned: PlannedTrial, state: str, t_ns: int) -> None:
        self._tell(StateEntered(planned.number, state, t_ns))
        if state == "boot":
            self._tell_link(pair, planned)

    def _tell_link(self, pair: Pair, planned: PlannedTrial) -> None:
        """Tell, once a setting, of a link that is not what was asked."""
        spec = self._plan.cell(planned.cell).link
        link = pair.set_link(spec)
        for way in link.measured:
            off = link.deviation(way)
            if abs(off) > LINK_TOLERANCE and f"{spec}{way}" not in self._told_links:
                self._told_links.add(f"{spec}{way}")
                asked = spec.bandwidth_bits_per_s / 1e9
                self._tell(
                    Notice(f"the link ({way}) was measured {off:+.1%} off its {asked:g} Gbit/s")
                )

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            observer.handle(event)


class Journal:
    """The observer that keeps the run's journal."""

    def __init__(self, store: RunStore) -> None:
        self._store = store

    def handle(self, event: Event) -> None:
        """Write it down, but for what comes many times a second."""
        if isinstance(event, Progress | StateEntered):
            return
        assert is_dataclass(event)
        data: dict[str, Any] = asdict(event)
        data.pop("figures", None)
        with suppress(LabctlError):
            self._store.journal(type(event).__name__, **data)


def _matches(trial: PlannedTrial, only: str | None) -> bool:
    return only is None or fnmatchcase(trial.cell, only) or fnmatchcase(trial.name, only)


def _join(workers: Sequence[threading.Thread], timeout_s: float | None = None) -> None:
    """Wait for threads in short steps, so that Ctrl-C is heard."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    for worker in workers:
        while worker.is_alive() and (deadline is None or time.monotonic() < deadline):
            worker.join(_JOIN_POLL_S)
