"""One trial: one migration of one fresh machine, through the states of :mod:`labctl.migration.states`."""

import random
import threading
from collections.abc import Callable
from typing import Any, Final

from labctl.campaign.cells import Cell
from labctl.campaign.models import TimingSpec
from labctl.campaign.specs import RDMA
from labctl.errors import LabctlError, NodeError, WaitTimeout
from labctl.lab import waits as node_waits
from labctl.lab.pair import LinkState, Pair
from labctl.migration import waits
from labctl.migration.baseline import verify_load
from labctl.migration.bench import Bench, lost
from labctl.migration.evidence import course_of, evidence
from labctl.migration.guest_now import GuestHook, GuestNow
from labctl.migration.judge import Ends, Judgement, judge
from labctl.migration.load import Accounts
from labctl.migration.raw import RawTrial
from labctl.migration.schedule import Schedule
from labctl.migration.settling import Settling
from labctl.migration.setup import set_up
from labctl.migration.states import States

POSTCOPY: Final = "postcopy-active"
"""QEMU's status after the switch to postcopy"""
_LEAD_S: Final = 0.1
"""samples begin this long before the migration"""
StateHook = Callable[[str, int], None]
ProgressHook = Callable[[dict[str, Any]], None]


class TrialRun:
    """Runs one trial on a pair. Use once."""

    def __init__(
        self,
        cell: Cell,
        timing: TimingSpec,
        pair: Pair,
        direction: str,
        *,
        stop: threading.Event,
        on_state: StateHook = lambda _state, _t_ns: None,
        on_progress: ProgressHook = lambda _progress: None,
        on_guest: GuestHook = lambda _work_bytes_per_s, _blackout_s: None,
    ) -> None:
        self.raw = RawTrial(vcpus=cell.guest.vcpus)
        self._cell = cell
        self._timing = timing
        self._pair = pair
        self._direction = direction
        self._bench = Bench(pair, direction, self.raw, stop)
        self._on_state = on_state
        self._on_progress = on_progress
        self._guest_now = GuestNow(on_guest)
        self._nonce = random.getrandbits(32) or 1
        self._accounts = Accounts(self.raw.guest)
        self._states = States(self._note_state, self._bench.clocks.now_ns)
        self._enter = self._states.enter

    def run(self) -> RawTrial:
        """Run it. NodeLost when a node is gone, Interrupted when the run was asked to stop."""
        unanswered = False
        try:
            self._go_through()
        except Ends as end:
            self._conclude(end.judgement)
        except (NodeError, WaitTimeout) as error:
            where = f"{error.place}: " if error.place else ""
            state = self._states.state
            self._conclude(Judgement("failed", None, f"in {state}: {where}{error.fault}"))
            unanswered = isinstance(error, WaitTimeout)
        finally:
            faults = self._bench.collect()
            self._enter("closed")
        if faults and not unanswered:
            self._doubt(faults)
        self._look_for_evidence()
        return self.raw

    def _go_through(self) -> None:
        self._listen()
        self._prepare()
        self._boot()
        self._baseline()
        schedule = self._set_up()
        result = self._migrate(schedule)
        settling = Settling(self._bench, self.raw, self._cell, self._timing, self._accounts)
        self._conclude(judge(settling.see(result, self._enter)))

    def _doubt(self, faults: list[LabctlError]) -> None:
        """A result without what was seen is none. Where a node was lost meanwhile, what failed may have failed by
        that, so the trial is repeated; but a node that does not answer is what failed.
        """
        gone = lost(faults)
        if gone is not None:
            raise gone
        if self.raw.outcome == "failed":
            return
        missing = "; ".join(self.raw.not_collected)
        reason = f"{self.raw.outcome}, but not all that was seen could be had: {missing}"
        self._conclude(Judgement("failed", self.raw.verdict, reason))

    def _look_for_evidence(self) -> None:
        """An option that was asked for and shows no effect where it must have had one was not in force: a failure."""
        course = course_of(self.raw.final, self.raw.samples, self.raw.events)
        found = evidence(self._cell.algorithm, course, self._cell.transport)
        self.raw.evidence = {name: of_it.seen for name, of_it in found.items()}
        silent = [of_it.fault for of_it in found.values() if of_it.fault]
        if silent and self.raw.outcome == "completed":
            reason = f"asked for and not in force: {'; '.join(silent)}"
            self._conclude(Judgement("failed", self.raw.verdict, reason))

    # --- the states ---

    def _prepare(self) -> None:
        self._bench.compare_clocks()
        self._enter("prepare")
        link = self._pair.set_link(self._cell.link)
        self.raw.link = _describe_link(link, self._direction)
        self._bench.observe(self._nonce)
        if self._cell.transport == RDMA:
            self._bench.find_rdma()

    def _boot(self) -> None:
        self._enter("boot")
        self._bench.boot(
            self._cell.guest,
            self._nonce,
            profile=self._cell.profile,
            qemu=self._cell.qemu,
            dirty_ring=self._cell.algorithm.dirty_limit_bytes_per_s is not None,
            locks_memory=self._cell.transport == RDMA or self._cell.algorithm.zero_copy,
        )
        self._bench.beat("source", "the guest's first beat", waits.BOOT_S)
        self._enter("fill")
        fill_s = waits.fill_s(self._cell.guest.memory_bytes)
        state = self._bench.beat("source", "the fill of the guest's memory", fill_s, phase="run")
        self.raw.guest.update(hello=state["hello"], nonce=self._nonce)

    def _baseline(self) -> None:
        self._enter("baseline")
        verify_load(self._bench, self.raw, self._cell, self._timing)

    def _set_up(self) -> Schedule:
        self._enter("setup")
        schedule = set_up(self._bench, self.raw, self._cell)
        self._bench.sample()
        self._bench.watch(_LEAD_S)
        self._accounts.keep("before", self._bench.observed().get("load"))
        destination = self._bench.ends["destination"].node
        destination.call("schedule.arm", schedule=schedule.for_destination())
        return schedule

    def _migrate(self, schedule: Schedule) -> dict[str, Any]:
        self._enter("precopy")
        wait_s = schedule.hard_limit_s + node_waits.ANSWER_GRACE_S
        result: dict[str, Any] = self._bench.ends["source"].node.call(
            "schedule.run",
            wait_s=wait_s,
            unless=[self._bench.ends["destination"].node.over, self._bench.observer.over],
            schedule=schedule.for_source(),
        )
        on_observer = self._bench.clocks.on_observer
        self.raw.times_ns["migrate_start"] = on_observer("source", result["start_ns"])
        self.raw.times_ns["migrate_end"] = on_observer("source", result["end_ns"])
        self.raw.schedule["result"] = result
        return result

    # --- helpers ---

    def _conclude(self, judgement: Judgement) -> None:
        self.raw.outcome = judgement.outcome
        self.raw.verdict = judgement.verdict
        self.raw.reason = judgement.reason

    def _listen(self) -> None:
        """Follow the migration by what both nodes tell as it happens.

        STOP and RESUME mark the switch: QEMU's statuses name it only where it pauses before it.
        """
        statuses: set[str] = set()
        on_observer = self._bench.clocks.on_observer

        def on_source(event: str, data: dict[str, Any]) -> None:
            if event == "progress":
                self._on_progress(data)
            elif event == "runstate" and data["event"] == "STOP":
                self._states.follow(("switching",), on_observer("source", data["t_ns"]))
            else:
                self._bench.heard("source", event, data)

        def on_destination(event: str, data: dict[str, Any]) -> None:
            if event == "migration":
                statuses.add(data["status"])
            elif event == "runstate" and data["event"] == "RESUME" and POSTCOPY in statuses:
                resumed_ns = on_observer("destination", data["t_ns"])
                self._states.follow(("switching", "postcopy"), resumed_ns)
            else:
                self._bench.heard("destination", event, data)

        def on_observer_event(event: str, data: dict[str, Any]) -> None:
            if event == "beats":
                self._guest_now.heard(data, self._states.state)

        self._bench.observer.on_event = on_observer_event
        self._bench.ends["source"].node.on_event = on_source
        self._bench.ends["destination"].node.on_event = on_destination

    def _note_state(self, state: str, t_ns: int) -> None:
        self.raw.times_ns[state] = t_ns
        self.raw.events.append(
            {
                "t_ns": t_ns,
                "side": "controller",
                "kind": "state",
                "name": state,
                "qemu_realtime_ns": None,
                "data": {},
            }
        )
        self._on_state(state, t_ns)


def _describe_link(link: LinkState, direction: str) -> dict[str, Any]:
    measured = link.measured[direction]
    return {
        "asked_bits_per_s": link.spec.bandwidth_bits_per_s,
        "mtu": link.spec.mtu,
        "delay_s": link.spec.delay_s,
        "loss": link.spec.loss,
        "shaping": link.shaping,
        "deviation": link.deviation(direction),
        "rtt_added_ms": link.added_ms(direction),
        **measured,
    }
