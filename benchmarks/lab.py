"""A lab for measurements, the embedded one unless told: a guest that runs for as long as it is needed, and a campaign's trials
one at a time.

Both go through the code that a run goes through; nothing here starts a QEMU in a way of its own.
"""

import glob
import os
import random
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.claim import NotMeasured
from labctl.campaign import (
    Campaign,
    GuestSpec,
    PlannedTrial,
    expand,
    make_plan,
)
from labctl.controller import Controller
from labctl.events import Event, Observer, TrialEnded
from labctl.lab import Lab, Pair, Questions, open_lab
from labctl.migration import RawTrial, waits
from labctl.migration.bench import Bench
from labctl.results import RunStore, load_run
from labctl.results.run import Trial
from labctl.results.schema import Outcome, TrialRecord

MIB = 1 << 20
GIB = 1 << 30
EMBEDDED = "local"


@contextmanager
def opened(*campaigns: Campaign, name: str = EMBEDDED) -> Iterator[Lab]:
    """A lab, its QEMUs asked about what the campaigns need. LabError, LabHeld."""
    cells = [cell for campaign in campaigns for cell in expand(campaign)]
    with open_lab(name, f"benchmarks-{os.getpid()}", questions=Questions.about(cells)) as lab:
        yield lab


def pair_of(lab: Lab) -> Pair:
    """The one pair of a lab that has one."""
    (pair,) = lab.pairs.values()
    return pair


class RunningGuest:
    """A guest on the source of a pair, in phase run; `raw` holds all that was seen once it has ended."""

    def __init__(self, pair: Pair, bench: Bench, raw: RawTrial) -> None:
        self._pair = pair
        self._bench = bench
        self.raw = raw

    def qmp(self, execute: str, **arguments: Any) -> Any:
        """A QMP command on its QEMU."""
        return self._bench.qmp("source", execute, **arguments)

    def watch(self, seconds: float) -> dict[str, Any]:
        """Let it work for a while; `bytes_per_s` it wrote in that time by its own count, `seconds`, `until_ns`."""
        since_ns = self._bench.observer.call("observe.state")["now_ns"]
        self._bench.watch(seconds)
        seen: dict[str, Any] = self._bench.observer.call("observe.rate", since_ns=since_ns)
        if seen["bytes_per_s"] is None:
            raise NotMeasured("the guest did not beat")
        return seen


@contextmanager
def running(pair: Pair, guest: GuestSpec) -> Iterator[RunningGuest]:
    """A guest on the pair's first host, as a trial starts it: a second QEMU waits on the other host. NodeError, WaitTimeout."""
    nonce = random.getrandbits(32) or 1
    raw = RawTrial(vcpus=guest.vcpus)
    bench = Bench(pair, "forward", raw, threading.Event())
    try:
        bench.observe(nonce)
        bench.boot(guest, nonce)
        bench.beat("source", "the guest's first beat", waits.BOOT_S)
        bench.beat(
            "source",
            "the fill of the guest's memory",
            waits.fill_s(guest.memory_bytes),
            phase="run",
        )
        yield RunningGuest(pair, bench, raw)
    finally:
        faults = bench.collect()
    if faults:
        raise faults[0]


@dataclass(frozen=True)
class Ran:
    """A trial that has its result."""

    trial: Trial
    wall_s: float
    """from its start to its result on disk, as the controller counts it"""

    @property
    def record(self) -> TrialRecord:
        """Its record."""
        return self.trial.record

    def figure(self, name: str) -> float:
        """A figure of it. NotMeasured when it could not be had."""
        value = self.record.figures.get(name)
        if not isinstance(value, int | float):
            raise NotMeasured(f"trial {self.record.name} has no {name}")
        return float(value)


class Trials:
    """A campaign's trials, run when they are asked for, by the controller and into a results directory that goes when
    this does. A context manager; entering it raises NotMeasured when the lab cannot run one of them.
    """

    def __init__(
        self, campaign: Campaign, lab: str = EMBEDDED, *, observers: Sequence[Observer] = ()
    ) -> None:
        self._observers = observers
        self._campaign = campaign
        self._name = lab
        self._ending = ExitStack()
        self.invalid_loads = 0
        """trials that did not count, since the machine was too busy for their load"""

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            self._lab = opening.enter_context(opened(self._campaign, name=self._name))
            capabilities = {name: pair.capabilities() for name, pair in self._lab.pairs.items()}
            self.plan = make_plan(self._campaign, capabilities)
            if refused := {t.cell: t.reason for t in self.plan.trials if not t.supported}:
                raise NotMeasured("; ".join(f"{cell}: {why}" for cell, why in refused.items()))
            out = opening.enter_context(tempfile.TemporaryDirectory(prefix="labctl-benchmarks-"))
            self._store = opening.enter_context(
                RunStore.create(Path(out), self._campaign, self.plan, self._lab.environment())
            )
            self._ending = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ending.close()

    @property
    def pair(self) -> Pair:
        """Where they run."""
        return pair_of(self._lab)

    def run(self, planned: PlannedTrial) -> Ran | None:
        """Run one to its end; None when the machine was too busy for its load. NotMeasured when it failed."""
        ended = _Ended()
        controller = Controller(
            self._campaign,
            self.plan,
            self._lab,
            self._store,
            (ended, *self._observers),
            only=glob.escape(planned.name),
        )
        summary = controller.run()
        if summary.interrupted:
            raise KeyboardInterrupt
        if summary.fault is not None:
            raise summary.fault
        found = [
            t for t in load_run(self._store.path).trials() if t.record.number == planned.number
        ]
        if not found or ended.event is None:
            raise NotMeasured(f"trial {planned.name} has no result")
        record = found[0].record
        if record.outcome is Outcome.INVALID_LOAD:
            self.invalid_loads += 1
            return None
        if record.outcome is not Outcome.COMPLETED:
            raise NotMeasured(f"trial {planned.name} ended as {record.outcome}: {record.reason}")
        return Ran(found[0], ended.event.elapsed_s)


class _Ended:
    """Hears how long a trial took."""

    def __init__(self) -> None:
        self.event: TrialEnded | None = None

    def handle(self, event: Event) -> None:
        """Take note of the end."""
        if isinstance(event, TrialEnded):
            self.event = event
