"""One trial: one migration of one fresh machine, through the states of :mod:`labctl.migration.states`."""

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from labctl.campaign.cells import Cell
from labctl.campaign.estimate import baseline_window_s
from labctl.campaign.models import TimingSpec
from labctl.campaign.profiles import Asked
from labctl.errors import LabctlError, NodeError, WaitTimeout
from labctl.lab import waits as node_waits
from labctl.lab.pair import LinkState, Pair
from labctl.migration import waits
from labctl.migration.algorithms import compile_schedule
from labctl.migration.bench import SIDES, Bench, lost
from labctl.migration.evidence import course_of, evidence
from labctl.migration.judge import SPLIT_STATUSES, Judgement, Seen, judge
from labctl.migration.load import Window, account, judged
from labctl.migration.raw import RawTrial
from labctl.migration.schedule import Schedule
from labctl.migration.states import States
from labctl.migration.transports import TRANSPORTS

BASELINE_WINDOWS: Final = 5
"""windows in which the rate may be reached before the load counts as invalid"""
POSTCOPY: Final = "postcopy-active"
"""QEMU's status after the switch to postcopy"""
_LEAD_S: Final = 0.1
"""samples begin this long before the migration"""
_ALIVE_BEATS: Final = 20
"""so many beats after the end show that a side runs"""
_EXPECTED_ON: Final = {"completed": "destination", "cancelled": "source", "failed": "source"}
"""where the machine should run after a migration that ended so; after any other end nobody knows"""

StateHook = Callable[[str, int], None]
ProgressHook = Callable[[dict[str, Any]], None]


class Ends(LabctlError):  # noqa: N818 - named for what happened, as in labctl.errors
    """The trial ends here, with a judgement."""

    def __init__(self, judgement: Judgement) -> None:
        super().__init__(judgement.reason or judgement.outcome)
        self.judgement = judgement


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
    ) -> None:
        self.raw = RawTrial(vcpus=cell.guest.vcpus)
        self._cell = cell
        self._timing = timing
        self._pair = pair
        self._direction = direction
        self._bench = Bench(pair, direction, self.raw, stop)
        self._on_state = on_state
        self._on_progress = on_progress
        self._nonce = random.getrandbits(32) or 1
        self._load: dict[str, Any] | None = None
        self._states = States(self._note_state)
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
        self._finish(result)

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
        found = evidence(self._cell.algorithm, course)
        self.raw.evidence = {name: of_it.seen for name, of_it in found.items()}
        silent = [of_it.fault for of_it in found.values() if of_it.fault]
        if silent and self.raw.outcome == "completed":
            reason = f"asked for and not in force: {'; '.join(silent)}"
            self._conclude(Judgement("failed", self.raw.verdict, reason))

    # --- the states ---

    def _prepare(self) -> None:
        self._enter("prepare")
        link = self._pair.set_link(self._cell.link)
        self.raw.link = _describe_link(link, self._direction)
        self._bench.observe(self._nonce)

    def _boot(self) -> None:
        self._enter("boot")
        self._bench.boot(
            self._cell.guest,
            self._nonce,
            profile=self._cell.profile,
            qemu=self._cell.qemu,
            dirty_ring=self._cell.algorithm.dirty_limit_bytes_per_s is not None,
        )
        self._bench.beat("source", "the guest's first beat", waits.BOOT_S)
        self._enter("fill")
        fill_s = waits.fill_s(self._cell.guest.memory_bytes)
        state = self._bench.beat("source", "the fill of the guest's memory", fill_s, phase="run")
        self.raw.guest = {"hello": state["hello"], "nonce": self._nonce}

    def _baseline(self) -> None:
        """Let the guest work undisturbed until it has done so for one window at the rate asked.

        A host that takes the core away for a moment spoils a window; a load that cannot be reached spoils them all.
        """
        self._enter("baseline")
        asked = Asked.of(self._cell.guest, self._cell.profile)
        window_s = baseline_window_s(self._cell.profile, self._timing)
        windows: list[float | None] = []
        best: Window | None = None
        kept = self.raw.guest["write_rate"] = {
            "asked_bytes_per_s": asked.mean_bytes_per_s,
            "window_s": window_s,
            "windows_bytes_per_s": windows,
        }
        for _ in range(BASELINE_WINDOWS):
            started = time.monotonic_ns()
            self._bench.watch(window_s)
            self._bench.heed_deaths()
            rate = self._pair.observer.call("observe.rate", since_ns=started)
            measured = rate["bytes_per_s"]
            # Up to the last beat that was counted: an answer that comes late is no part of what was judged.
            self.raw.times_ns["baseline_start"] = started
            self.raw.times_ns["baseline_end"] = rate.get("until_ns", time.monotonic_ns())
            windows.append(measured)
            if measured is None:
                raise Ends(Judgement("failed", "lost", "the guest did not beat in the baseline"))
            window = judged(asked, rate, self._bench.observed())
            best = max(best or window, window, key=lambda each: each.share)
            kept["asked_bytes_per_s"] = window.asked_bytes_per_s
            kept["measured_bytes_per_s"] = window.measured_bytes_per_s
            if window.reached:
                return
        assert best is not None
        reason = (
            f"asked for {_mib_per_s(best.asked_bytes_per_s)}, "
            f"this machine reached {_mib_per_s(best.measured_bytes_per_s)}"
        )
        raise Ends(Judgement("invalid_load", "on_source", reason))

    def _set_up(self) -> Schedule:
        self._enter("setup")
        schedule = compile_schedule(self._cell)
        transport = TRANSPORTS[self._cell.transport]
        for side in SIDES:
            states = [{"capability": n, "state": s} for n, s in schedule.capabilities.items()]
            self._bench.qmp(side, "migrate-set-capabilities", capabilities=states)
            self._bench.qmp(side, "migrate-set-parameters", **schedule.parameters)
        address = self._bench.ends["destination"].address
        self._bench.qmp("destination", "migrate-incoming", uri=transport.listen_uri(address))
        incoming = self._bench.qmp("destination", "query-migrate")
        schedule = schedule.with_uri(transport.connect_uri(address, incoming))
        for side in SIDES:
            self._read_back(side, schedule)
        self.raw.schedule = {
            "source": schedule.for_source(),
            "destination": schedule.for_destination(),
        }
        self._bench.sample()
        self._bench.watch(_LEAD_S)
        self._keep_load("before", self._bench.observed().get("load"))
        destination = self._bench.ends["destination"].node
        destination.call("schedule.arm", schedule=schedule.for_destination())
        return schedule

    def _read_back(self, side: str, schedule: Schedule) -> None:
        """What is in force; a capability or parameter that was asked for and is not is a failure."""
        capabilities = self._bench.qmp(side, "query-migrate-capabilities")
        in_force = {c["capability"]: c["state"] for c in capabilities}
        parameters = self._bench.qmp(side, "query-migrate-parameters")
        self.raw.qemu[side]["capabilities_in_force"] = in_force
        self.raw.qemu[side]["parameters_in_force"] = parameters
        asked = {**schedule.capabilities, **schedule.parameters}
        found = {**in_force, **parameters}
        wrong = [
            f"{name} is {found.get(name)}, not {value}"
            for name, value in asked.items()
            if found.get(name) != value
        ]
        if wrong:
            reason = f"not in force on the {side}: {'; '.join(wrong)}"
            raise Ends(Judgement("failed", "on_source", reason))

    def _migrate(self, schedule: Schedule) -> dict[str, Any]:
        self._enter("precopy")
        wait_s = schedule.hard_limit_s + node_waits.ANSWER_GRACE_S
        result: dict[str, Any] = self._bench.ends["source"].node.call(
            "schedule.run", wait_s=wait_s, schedule=schedule.for_source()
        )
        self.raw.times_ns["migrate_start"] = result["start_ns"]
        self.raw.times_ns["migrate_end"] = result["end_ns"]
        self.raw.schedule["result"] = result
        return result

    def _finish(self, result: dict[str, Any]) -> None:
        """Settle, see who beats, check the memory, conclude."""
        expected = _EXPECTED_ON.get(result["status"])
        error: str | None = None
        if expected is not None:
            try:
                wait = f"the guest's beats on the {expected}"
                self._bench.beat(expected, wait, waits.RESUME_S, beats=1)
            except NodeError as missing:
                error = missing.fault
        self._enter("settle")
        alive = self._who_beats()
        with suppress(NodeError):
            self._keep_load("during", self._bench.observed().get("load"))
        checked, identical = False, False
        if expected == "destination" and alive["destination"]:
            checked, identical, said = self._check()
            error = error or said
        for side in SIDES:
            with suppress(NodeError):  # a QEMU that has ended says nothing more
                self.raw.final[side] = {
                    "migrate": self._bench.qmp(side, "query-migrate"),
                    "status": self._bench.qmp(side, "query-status"),
                }
        seen = Seen(
            status=result["status"],
            fired=frozenset(result["fired"]),
            source_beats=alive["source"],
            destination_beats=alive["destination"],
            memory_checked=checked,
            memory_identical=identical,
            error=error or self._qemu_error(),
            split=bool(self._statuses(result) & SPLIT_STATUSES),
            ended=self._bench.ended,
            link_down=not self._pair.link_is_up(),
        )
        self._conclude(judge(seen))

    def _who_beats(self) -> dict[str, bool]:
        """Who beats, watched while the machine settles: where it runs it must do so to the end; one beat of the other
        side in all that time is a second machine.
        """
        before = self._bench.beats_now()
        self._bench.watch(self._timing.settle_s)
        settled = self._bench.beats_now()
        runs = "destination" if settled["destination"] else "source"
        other = "source" if runs == "destination" else "destination"
        with suppress(NodeError):
            self._bench.beat(runs, "beats", waits.ALIVE_S, beats=_ALIVE_BEATS)
        after = self._bench.beats_now()
        return {runs: after[runs] > settled[runs], other: after[other] > before[other]}

    def _keep_load(self, when: str, load: dict[str, Any] | None) -> None:
        """The guest's own account of its load: until the migration, and from there until it has settled."""
        since, self._load = self._load, load
        if load is not None:
            kept = self.raw.guest.setdefault("load", {"start_tsc": load["start_tsc"]})
            kept[when] = account(load, since)

    def _check(self) -> tuple[bool, bool, str | None]:
        """Every page against what it must hold: (checked, identical, what was wrong)."""
        self._enter("check")
        wait_s = waits.check_s(self._cell.guest.memory_bytes)
        try:
            self._bench.ends["destination"].node.call("machine.guest", command="K")
            state = self._bench.beat(
                "destination", "the check of the guest's memory", wait_s, reports=1
            )
        except NodeError as missing:
            return False, False, missing.fault
        report = state["reports"][-1]
        self.raw.guest["check"] = report
        wrong = []
        if report["pages_bad"]:
            wrong.append(
                f"{report['pages_bad']} pages differ, the first at {report['first_bad_address']:#x}"
            )
        if report["work_regressed"]:
            wrong.append("a vCPU's work went backwards")
        if report["seq_regressed"]:
            wrong.append("the beats' sequence went backwards")
        return True, not wrong, "; ".join(wrong) or None

    # --- helpers ---

    def _statuses(self, result: dict[str, Any]) -> set[str]:
        """What each end said last of the migration."""
        said = {final["migrate"].get("status", "none") for final in self.raw.final.values()}
        return said | {str(result["status"])}

    def _qemu_error(self) -> str | None:
        for side in SIDES:
            said = self.raw.final.get(side, {}).get("migrate", {}).get("error-desc")
            if said:
                return f"{side}: {said}"
        return None

    def _conclude(self, judgement: Judgement) -> None:
        self.raw.outcome = judgement.outcome
        self.raw.verdict = judgement.verdict
        self.raw.reason = judgement.reason

    def _listen(self) -> None:
        """Follow the migration by what both nodes tell as it happens.

        STOP and RESUME mark the switch: QEMU's statuses name it only where it pauses before it.
        """
        statuses: set[str] = set()

        def on_source(event: str, data: dict[str, Any]) -> None:
            if event == "progress":
                self._on_progress(data)
            elif event == "runstate" and data["event"] == "STOP":
                self._states.follow(("switching",), data["t_ns"])
            else:
                self._bench.heard("source", event, data)

        def on_destination(event: str, data: dict[str, Any]) -> None:
            if event == "migration":
                statuses.add(data["status"])
            elif event == "runstate" and data["event"] == "RESUME" and POSTCOPY in statuses:
                self._states.follow(("switching", "postcopy"), data["t_ns"])
            else:
                self._bench.heard("destination", event, data)

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


def _mib_per_s(bytes_per_s: float) -> str:
    value = bytes_per_s / 2**20
    return f"{value:.{0 if value >= 10 else 3}f} MiB/s"


def _describe_link(link: LinkState, direction: str) -> dict[str, Any]:
    measured = link.measured[direction]
    return {
        "asked_bits_per_s": link.spec.bandwidth_bits_per_s,
        "mtu": link.spec.mtu,
        "shaping": link.shaping,
        "deviation": link.deviation(direction),
        **measured,
    }
