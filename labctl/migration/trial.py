"""One trial: one migration of one fresh machine, as a state machine.

prepare  the link is set, the observer listens          switching  the source has stopped, the destination does not run yet
boot     both QEMUs start, the guest beats              postcopy   the destination runs, memory still follows
fill     the guest fills its memory                     settle     the migration is over, the guest is watched on
baseline the guest works undisturbed; load is verified  check      every page is compared with what it must hold
setup    both ends are set up, and read back            closed     both machines are ended, their records collected
precopy  the migration runs on the source
"""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from labctl.campaign.cells import Cell
from labctl.campaign.models import TimingSpec
from labctl.errors import LabctlError, LabError, NodeError, NodeLost, WaitTimeout
from labctl.lab import waits as node_waits
from labctl.lab.pair import End, LinkState, Pair
from labctl.migration import waits
from labctl.migration.algorithms import compile_schedule
from labctl.migration.judge import Judgement, Seen, judge
from labctl.migration.schedule import Schedule
from labctl.migration.transports import TRANSPORTS
from labctl.node.protocol import unpack

LOAD_TOLERANCE: Final = 0.05
"""a write rate that is more than 5 % off is no valid load"""
_LEAD_S: Final = 0.1
"""samples begin this long before the migration"""
_ALIVE_BEATS: Final = 20
"""so many beats after the end show that a side runs"""
POSTCOPY: Final = "postcopy-active"
"""QEMU's status after the switch to postcopy"""
_TRANSITIONS: Final = {
    "prepare": {"boot", "closed"},
    "boot": {"fill", "closed"},
    "fill": {"baseline", "closed"},
    "baseline": {"setup", "closed"},
    "setup": {"precopy", "closed"},
    "precopy": {"switching", "settle", "closed"},
    "switching": {"postcopy", "settle", "closed"},
    "postcopy": {"settle", "closed"},
    "settle": {"check", "closed"},
    "check": {"closed"},
    "closed": set[str](),
}

StateHook = Callable[[str, int], None]
ProgressHook = Callable[[dict[str, Any]], None]


class Interrupted(LabctlError):  # noqa: N818 - named for what happened, as in labctl.errors
    """The run was asked to stop; the attempt has no result."""


class Ends(LabctlError):  # noqa: N818 - same
    """The trial ends here, with a judgement."""

    def __init__(self, judgement: Judgement) -> None:
        super().__init__(judgement.reason or judgement.outcome)
        self.judgement = judgement


@dataclass
class RawTrial:
    """All that was seen of a trial; what is derived comes later."""

    outcome: str = "interrupted"
    verdict: str | None = None
    reason: str | None = None
    times_ns: dict[str, int] = field(default_factory=dict)
    """state -> CLOCK_MONOTONIC when it was entered, and migrate_start, migrate_end, baseline_start, baseline_end"""
    clocks: dict[str, list[dict[str, int]]] = field(default_factory=dict)
    qemu: dict[str, dict[str, Any]] = field(default_factory=dict)
    guest: dict[str, Any] = field(default_factory=dict)
    link: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)
    final: dict[str, Any] = field(default_factory=dict)
    """last `query-migrate` and `query-status` by side"""
    samples: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    beats: bytes = b""
    vcpus: int = 1


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
        self._cell = cell
        self._timing = timing
        self._pair = pair
        self._direction = direction
        self._source, self._destination = pair.ends(direction)
        self._sides = {"source": self._source, "destination": self._destination}
        self._stop = stop
        self._on_state = on_state
        self._on_progress = on_progress
        self._nonce = random.getrandbits(32) or 1
        self._state = ""
        self._state_lock = threading.Lock()
        self.raw = RawTrial(vcpus=cell.guest.vcpus)

    def run(self) -> RawTrial:
        """Run it. NodeLost when a node is gone, Interrupted when the run was asked to stop."""
        try:
            self._listen()
            self._prepare()
            self._boot()
            self._baseline()
            schedule = self._set_up()
            result = self._migrate(schedule)
            self._finish(result)
        except Ends as end:
            self._conclude(end.judgement)
        except (NodeLost, Interrupted, LabError):
            raise
        except (NodeError, WaitTimeout) as error:
            where = f"{error.place}: " if error.place else ""
            self._conclude(Judgement("failed", None, f"in {self._state}: {where}{error.fault}"))
        finally:
            self._close()
        return self.raw

    # --- the states ---

    def _prepare(self) -> None:
        self._enter("prepare")
        link = self._pair.set_link(self._cell.link)
        self.raw.link = _describe_link(link, self._direction)
        started = self._pair.observer.call("observe.start", nonce=self._nonce)
        self._anchor("observer", started)
        self._beats_paths: dict[str, str] = started["paths"]

    def _boot(self) -> None:
        self._enter("boot")
        starting: dict[str, Future[Any]] = {
            side: end.node.begin(
                "machine.start", machine=self._machine(side, end), timeout_s=waits.START_S
            )
            for side, end in self._sides.items()
        }
        for side, end in self._sides.items():
            wait_s = waits.START_S + node_waits.ANSWER_GRACE_S
            started = end.node.result(starting[side], "QEMU's start", wait_s)
            caps = end.capabilities
            self.raw.qemu[side] = {
                "host": end.host,
                "version": caps.qemu_version,
                "path": caps.qemu_path,
                "machine_type": caps.machine_type,
                "accelerator": caps.accelerator,
                **started,
            }
        self._beat("source", "the guest's first beat", waits.BOOT_S)
        self._enter("fill")
        fill_s = waits.fill_s(self._cell.guest.memory_bytes)
        state = self._beat("source", "the fill of the guest's memory", fill_s, phase="run")
        self.raw.guest = {"hello": state["hello"], "nonce": self._nonce}

    def _baseline(self) -> None:
        self._enter("baseline")
        started = time.monotonic_ns()
        self._watch(self._timing.baseline_s)
        rate = self._pair.observer.call("observe.rate", since_ns=started)
        self.raw.times_ns["baseline_start"] = started
        self.raw.times_ns["baseline_end"] = time.monotonic_ns()
        measured = rate["bytes_per_s"]
        asked = self._cell.guest.write_rate_bytes_per_s
        self.raw.guest["write_rate"] = {
            "asked_bytes_per_s": asked,
            "measured_bytes_per_s": measured,
        }
        if measured is None:
            raise Ends(Judgement("failed", "lost", "the guest did not beat in the baseline"))
        if abs(measured - asked) > LOAD_TOLERANCE * asked:
            reason = f"asked for {_mib_per_s(asked)}, this machine reached {_mib_per_s(measured)}"
            raise Ends(Judgement("invalid_load", "on_source", reason))

    def _set_up(self) -> Schedule:
        self._enter("setup")
        schedule = compile_schedule(self._cell)
        transport = TRANSPORTS[self._cell.transport]
        for end in self._sides.values():
            states = [{"capability": n, "state": s} for n, s in schedule.capabilities.items()]
            self._qmp(end, "migrate-set-capabilities", capabilities=states)
            self._qmp(end, "migrate-set-parameters", **schedule.parameters)
        address = self._destination.address
        self._qmp(self._destination, "migrate-incoming", uri=transport.listen_uri(address))
        incoming = self._qmp(self._destination, "query-migrate")
        schedule = schedule.with_uri(transport.connect_uri(address, incoming))
        for side, end in self._sides.items():
            self._read_back(side, end, schedule)
        self.raw.schedule = {
            "source": schedule.for_source(),
            "destination": schedule.for_destination(),
        }
        for side, end in self._sides.items():
            self._anchor(side, end.node.call("sample.start", interface=end.interface))
        self._watch(_LEAD_S)
        self._destination.node.call("schedule.arm", schedule=schedule.for_destination())
        return schedule

    def _read_back(self, side: str, end: End, schedule: Schedule) -> None:
        """What is in force; a capability or parameter that was asked for and is not is a failure."""
        in_force = {
            c["capability"]: c["state"] for c in self._qmp(end, "query-migrate-capabilities")
        }
        parameters = self._qmp(end, "query-migrate-parameters")
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
            raise Ends(
                Judgement("failed", "on_source", f"not in force on the {side}: {'; '.join(wrong)}")
            )

    def _migrate(self, schedule: Schedule) -> dict[str, Any]:
        self._enter("precopy")
        wait_s = schedule.hard_limit_s + node_waits.ANSWER_GRACE_S
        result: dict[str, Any] = self._source.node.call(
            "schedule.run", wait_s=wait_s, schedule=schedule.for_source()
        )
        self.raw.times_ns["migrate_start"] = result["start_ns"]
        self.raw.times_ns["migrate_end"] = result["end_ns"]
        self.raw.schedule["result"] = result
        return result

    def _finish(self, result: dict[str, Any]) -> None:
        """Settle, see who beats, check the memory, conclude."""
        expected = "destination" if result["status"] == "completed" else "source"
        error: str | None = None
        try:
            self._beat(expected, f"the guest's beats on the {expected}", waits.RESUME_S, beats=1)
        except NodeError as missing:
            error = missing.fault
        self._enter("settle")
        self._watch(self._timing.settle_s)
        alive = self._who_beats()
        checked, identical = False, False
        if expected == "destination" and alive["destination"]:
            checked, identical, said = self._check()
            error = error or said
        for side, end in self._sides.items():
            with suppress(NodeError):
                self.raw.final[side] = {
                    "migrate": self._qmp(end, "query-migrate"),
                    "status": self._qmp(end, "query-status"),
                }
        seen = Seen(
            status=result["status"],
            fired=frozenset(result["fired"]),
            source_beats=alive["source"],
            destination_beats=alive["destination"],
            memory_checked=checked,
            memory_identical=identical,
            error=error or self._qemu_error(),
        )
        self._conclude(judge(seen))

    def _who_beats(self) -> dict[str, bool]:
        """Which side's count grows, from now."""
        before = self._pair.observer.call("observe.state")["sides"]
        with suppress(NodeError):
            side = "destination" if before["destination"]["count"] else "source"
            self._beat(side, "beats", 1.0, beats=_ALIVE_BEATS)
        after = self._pair.observer.call("observe.state")["sides"]
        return {side: after[side]["count"] > before[side]["count"] for side in self._sides}

    def _check(self) -> tuple[bool, bool, str | None]:
        """Every page against what it must hold: (checked, identical, what was wrong)."""
        self._enter("check")
        self._destination.node.call("machine.guest", command="K")
        wait_s = waits.check_s(self._cell.guest.memory_bytes)
        try:
            state = self._beat("destination", "the check of the guest's memory", wait_s, reports=1)
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

    def _close(self) -> None:
        """End both machines and collect what they and the observer have seen; never raises."""
        for side, end in self._sides.items():
            end.node.on_event = None
            with suppress(LabctlError):
                stopped = end.node.call("sample.stop", wait_s=node_waits.TRANSFER_S)
                self._anchor(side, stopped)
                self.raw.samples += [{**sample, "side": side} for sample in stopped["samples"]]
            with suppress(LabctlError):
                ended = end.node.call("machine.end", wait_s=waits.END_S + node_waits.TRANSFER_S)
                self.raw.events += [{**event, "side": side} for event in ended["events"]]
                self.raw.logs[side] = ended["log"]
        with suppress(LabctlError):
            taken = self._pair.observer.call("observe.take", wait_s=node_waits.TRANSFER_S)
            self._anchor("observer", taken)
            self.raw.beats = unpack(taken["records"])
            self.raw.vcpus = taken["vcpus"] or self.raw.vcpus
            self.raw.guest["beats_skipped_bytes"] = taken["skipped_bytes"]
        with suppress(LabctlError):
            self._enter("closed")
        self.raw.events.sort(key=lambda event: int(event["t_ns"]))

    # --- helpers ---

    def _machine(self, side: str, end: End) -> dict[str, Any]:
        guest = self._cell.guest
        caps = end.capabilities
        return {
            "name": side,
            "qemu": caps.qemu_path,
            "machine_type": caps.machine_type,
            "accelerator": caps.accelerator,
            "vcpus": guest.vcpus,
            "memory_bytes": guest.memory_bytes,
            "kernel": end.kernel,
            "append": (
                f"nonce={self._nonce:08x} ws={guest.working_set_bytes} "
                f"rate={guest.write_rate_bytes_per_s} pattern={guest.pattern} fill={guest.fill} "
                f"vcpus={guest.vcpus} seed={guest.seed} beat_us=500"
            ),
            "beats_socket": self._beats_paths[side],
            "incoming": side == "destination",
            "uid": self._pair.caller.get("uid"),
            "gid": self._pair.caller.get("gid"),
        }

    def _beat(self, side: str, name: str, timeout_s: float, **wanted: Any) -> dict[str, Any]:
        """Wait until a side's beats are as wanted; the observer's state then."""
        if self._stop.is_set():
            raise Interrupted("the run was asked to stop")
        state: dict[str, Any] = self._pair.observer.call(
            "observe.wait",
            wait_s=timeout_s + node_waits.ANSWER_GRACE_S,
            side=side,
            name=name,
            timeout_s=timeout_s,
            **wanted,
        )
        return state

    def _watch(self, seconds: float) -> None:
        """Let the guest be observed for a while."""
        if self._stop.wait(seconds):
            raise Interrupted("the run was asked to stop")

    def _qmp(self, end: End, execute: str, /, **arguments: Any) -> Any:
        return end.node.call(
            "machine.qmp",
            wait_s=waits.QMP_S + node_waits.ANSWER_GRACE_S,
            execute=execute,
            arguments=arguments,
            timeout_s=waits.QMP_S,
        )

    def _qemu_error(self) -> str | None:
        for side in self._sides:
            said = self.raw.final.get(side, {}).get("migrate", {}).get("error-desc")
            if said:
                return f"{side}: {said}"
        return None

    def _conclude(self, judgement: Judgement) -> None:
        self.raw.outcome = judgement.outcome
        self.raw.verdict = judgement.verdict
        self.raw.reason = judgement.reason

    def _anchor(self, side: str, reply: dict[str, Any]) -> None:
        self.raw.clocks.setdefault(side, []).append(reply["anchor"])

    def _listen(self) -> None:
        """Follow the migration by what both nodes tell as it happens.

        STOP and RESUME mark the switch: QEMU's statuses name it only where it pauses before it.
        """
        statuses: set[str] = set()

        def on_source(event: str, data: dict[str, Any]) -> None:
            if event == "progress":
                self._on_progress(data)
            elif event == "runstate" and data["event"] == "STOP":
                self._follow("switching", data["t_ns"])

        def on_destination(event: str, data: dict[str, Any]) -> None:
            if event == "migration":
                statuses.add(data["status"])
            elif event == "runstate" and data["event"] == "RESUME" and POSTCOPY in statuses:
                self._follow("postcopy", data["t_ns"])

        self._source.node.on_event = on_source
        self._destination.node.on_event = on_destination

    def _follow(self, state: str, t_ns: int) -> None:
        """Enter a state of the migration, unless what is told comes too late for it."""
        with suppress(LabctlError):
            if state == "postcopy" and self._state == "precopy":
                self._enter("switching", t_ns)
            self._enter(state, t_ns)

    def _enter(self, state: str, t_ns: int | None = None) -> None:
        """Enter a state, as the state machine allows. LabctlError when it does not."""
        with self._state_lock:
            if self._state and state not in _TRANSITIONS[self._state]:
                raise LabctlError(f"a trial cannot go from {self._state} to {state}")
            self._state = state
            entered = t_ns if t_ns is not None else time.monotonic_ns()
            self.raw.times_ns[state] = entered
        self.raw.events.append(
            {
                "t_ns": entered,
                "side": "controller",
                "kind": "state",
                "name": state,
                "qemu_realtime_ns": None,
                "data": {},
            }
        )
        self._on_state(state, entered)


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
