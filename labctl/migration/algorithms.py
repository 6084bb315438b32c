"""The algorithms: each compiles a variant into a schedule. Adding one adds a class here and a line in `ALGORITHMS`.

stop_and_copy  stop the machine, send all of it, resume it: the baseline of every comparison
precopy        send memory in passes while the machine runs; stop for the rest when it fits the downtime limit
               (Clark et al., NSDI 2005)
postcopy       switch at once; pages follow on demand and in the background (Hines & Gopalan, VEE 2009)
hybrid         some precopy, then the switch to postcopy

Convergence aids are options of all of them: `labctl.campaign.asked` says what each turns on in QEMU.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from labctl.campaign.asked import asked_capabilities, asked_parameters
from labctl.campaign.cells import Cell
from labctl.campaign.models import AlgorithmSpec, LimitsSpec
from labctl.migration.schedule import URI, Command, Rule, Schedule, command

UNLIMITED_BYTES_PER_S: Final = 128 << 30
"""QEMU's own default is 128 MiB/s, which would hide the link; the link is the limit here"""

_HARD_LIMIT_FACTOR: Final = 2.0
_HARD_LIMIT_GRACE_S: Final = 30.0

START: Final[Command] = command("migrate", uri=URI)
SWITCH: Final[Command] = command("migrate-start-postcopy")
CANCEL: Final[Command] = command("migrate_cancel")
STOP: Final[Command] = command("stop")
CONT: Final[Command] = command("cont")

ACTIVE: Final = {"event": "MIGRATION", "field": "status", "is": "active"}
COMPLETED: Final = {"event": "MIGRATION", "field": "status", "is": "completed"}
CANCELLED: Final = {"event": "MIGRATION", "field": "status", "is": "cancelled"}

# Only a cancel that was carried out resumes the source: never one that lost the race against completion, which would leave
# two running machines.
GO_ON_AFTER_CANCEL: Final = Rule("resume", CANCELLED, (CONT,))
GO_ON_WHEN_COMPLETED: Final = Rule("resume", COMPLETED, (CONT,))


def after_pass(passes: int) -> dict[str, Any]:
    """After `passes` whole passes; `labctl.node.passes` says how they are counted."""
    return {"passes": passes}


class Algorithm(Protocol):
    """How one kind of migration starts, switches and ends."""

    def start(self) -> tuple[Command, ...]:
        """Commands that start it, on the source."""

    def rules(self, spec: AlgorithmSpec, limits: LimitsSpec) -> tuple[Rule, ...]:
        """Rules of the source."""

    def destination_rules(self, spec: AlgorithmSpec) -> tuple[Rule, ...]:
        """Rules of the destination."""


def limit(limits: LimitsSpec, *unless: str) -> Rule:
    """The limit of the whole migration cancels it, unless it has switched: then nothing is ever cancelled."""
    return Rule("limit", {"elapsed_s": limits.total_time_s}, (CANCEL,), unless)


class Precopy:
    """Passes until the rest fits the downtime limit, or until the machine is paused so that it does (as QEMU's guestperf)."""

    def start(self) -> tuple[Command, ...]:
        """As in `Algorithm`."""
        return (START,)

    def rules(self, spec: AlgorithmSpec, limits: LimitsSpec) -> tuple[Rule, ...]:
        """As in `Algorithm`."""
        if not spec.pause_after_passes:
            return (limit(limits),)
        pause = Rule("pause", after_pass(spec.pause_after_passes), (STOP,), unless=("limit",))
        return (pause, limit(limits), GO_ON_AFTER_CANCEL)

    def destination_rules(self, spec: AlgorithmSpec) -> tuple[Rule, ...]:
        """As in `Algorithm`."""
        return (GO_ON_WHEN_COMPLETED,) if spec.pause_after_passes else ()


class StopAndCopy(Precopy):
    """QEMU keeps a machine that was stopped by hand stopped, so each end is told when to go on."""

    def start(self) -> tuple[Command, ...]:
        """As in `Algorithm`."""
        return (STOP, START)

    def rules(self, spec: AlgorithmSpec, limits: LimitsSpec) -> tuple[Rule, ...]:  # noqa: ARG002
        """As in `Algorithm`."""
        return (limit(limits), GO_ON_AFTER_CANCEL)

    def destination_rules(self, spec: AlgorithmSpec) -> tuple[Rule, ...]:  # noqa: ARG002
        """As in `Algorithm`."""
        return (GO_ON_WHEN_COMPLETED,)


class Postcopy(Precopy):
    """The switch follows the start."""

    def rules(self, spec: AlgorithmSpec, limits: LimitsSpec) -> tuple[Rule, ...]:
        """As in `Algorithm`."""
        switch = Rule("switch", self.switch_when(spec), (SWITCH,), unless=("limit",))
        return (switch, limit(limits, "switch"))

    def switch_when(self, spec: AlgorithmSpec) -> dict[str, Any]:  # noqa: ARG002
        """The condition of the switch."""
        return ACTIVE


class Hybrid(Postcopy):
    """The switch follows some passes of precopy, some time of it, or the pass that makes no progress."""

    def switch_when(self, spec: AlgorithmSpec) -> dict[str, Any]:
        """The condition of the switch."""
        switch = spec.switch
        if switch.after_time_s is not None:
            return {"elapsed_s": switch.after_time_s}
        if switch.on_stall is not None:
            return {"stall_per_cent": switch.on_stall}
        assert switch.after_passes is not None
        return after_pass(switch.after_passes)


ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    "stop_and_copy": StopAndCopy(),
    "precopy": Precopy(),
    "postcopy": Postcopy(),
    "hybrid": Hybrid(),
}


def compile_schedule(cell: Cell) -> Schedule:
    """The schedule of a cell: its variant of an algorithm, under its limits."""
    spec, limits = cell.algorithm, cell.limits
    algorithm = ALGORITHMS[spec.kind]
    return Schedule(
        capabilities=dict.fromkeys(sorted(asked_capabilities(cell)), True),
        parameters={
            "max-bandwidth": spec.max_bandwidth_bytes_per_s or UNLIMITED_BYTES_PER_S,
            "downtime-limit": round(limits.downtime_s * 1000),
            **asked_parameters(cell),
        },
        start=algorithm.start(),
        rules=algorithm.rules(spec, limits),
        destination_rules=algorithm.destination_rules(spec),
        hard_limit_s=limits.total_time_s * _HARD_LIMIT_FACTOR + _HARD_LIMIT_GRACE_S,
    )
