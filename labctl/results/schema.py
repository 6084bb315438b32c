"""The record of one trial, `trial.json`: what it was, how it ended, and what was read on the way.

A record survives a round trip whole: keys that this version does not know, at any depth, are kept
and written back. `schema_version` counts changes that an older reader would misread; a record of an
older version is lifted by `upgrade`, one of a newer version is refused.

When the version rises: a key or column goes, is renamed, changes its unit or meaning, or a value of
an old key is new and an older reader would refuse or misread it. When it does not: a key or column
is added, is optional, and an older reader that keeps it unread is not misled. A rise comes with its
step in UPGRADES, and with a stored run of its own in `tests/data/runs`; those of all earlier versions
go on being read as they are.

A trial is one migration of one machine. Room for what is to come: machines that migrate at the same
time are trials that share a `group`; a machine that is reached by several links has several entries
in `links`; what an application inside the guest measured stands in `application`.
"""

import json
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labctl.errors import ResultsError

SCHEMA_VERSION = 1

Scalar = bool | int | float | str | None
"""A cell of the frame."""

Side = Literal["source", "destination"]


class Outcome(StrEnum):
    """How a trial ended; OUTCOMES says what each means."""

    COMPLETED = "completed"
    NOT_CONVERGED = "not_converged"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"
    INVALID_LOAD = "invalid_load"
    INTERRUPTED = "interrupted"


OUTCOMES: dict[Outcome, str] = {
    Outcome.COMPLETED: "the destination runs, beats and passed the memory check, whatever the "
    "source says",
    Outcome.NOT_CONVERGED: "the limit came first, and the machine runs on the source",
    Outcome.FAILED: "it could not be done; `reason` says what happened",
    Outcome.UNSUPPORTED: "it was not tried; `rule` and `reason` say why",
    Outcome.INVALID_LOAD: "the machine did not write at the rate asked, so no figure would say what "
    "it claims",
    Outcome.INTERRUPTED: "the run was ended from outside: the attempt is kept, and a resumed run "
    "repeats the trial",
}


class Verdict(StrEnum):
    """What became of the machine; VERDICTS says what each means."""

    ON_DESTINATION = "on_destination"
    ON_SOURCE = "on_source"
    PAUSED_RECOVERABLE = "paused_recoverable"
    LOST = "lost"
    DUPLICATED = "duplicated"


VERDICTS: dict[Verdict, str] = {
    Verdict.ON_DESTINATION: "it runs on the destination, and there alone",
    Verdict.ON_SOURCE: "it runs on the source, and there alone",
    Verdict.PAUSED_RECOVERABLE: "it stands still, its memory on both sides, and can be taken up",
    Verdict.LOST: "it runs nowhere, and cannot be taken up",
    Verdict.DUPLICATED: "it ran on both sides at once",
}


class Part(BaseModel):
    """A part of a record. Unknown keys are kept."""

    model_config = ConfigDict(
        extra="allow", validate_assignment=True, use_attribute_docstrings=True
    )


class Times(Part):
    """Moments on the observer's clock (its host's CLOCK_MONOTONIC), in ns."""

    entered: dict[str, int] = Field(default_factory=dict)
    """When each state of the trial was entered: prepare, boot, fill, baseline, ..."""
    baseline_start_ns: int | None = None
    """When the guest's undisturbed work began to be judged; the state `baseline`, where None."""
    baseline_end_ns: int | None = None
    """When that ended."""
    migrate_start_ns: int | None = None
    """When `migrate` was sent to the source."""
    migrate_end_ns: int | None = None
    """When the source said it was over: completed, failed or cancelled."""


class Anchor(Part):
    """Two clocks of one host read at the same moment, in ns."""

    monotonic_ns: int
    realtime_ns: int


class Offset(Part):
    """How far a clock is from the observer's, in ns."""

    offset_ns: int
    """What to add to a CLOCK_MONOTONIC to have the observer's."""
    uncertainty_ns: int
    """It is right within so much: half of the shortest time that a question and its answer took."""


class Clocks(Part):
    """What ties the hosts' clocks together."""

    one_clock: bool = True
    """Source, destination and observer share one CLOCK_MONOTONIC (they are on one host)."""
    offsets: dict[str, list[Offset]] = Field(default_factory=dict)
    """Of `source`, `destination` and `controller`, as compared before and after the migration; empty with one clock."""
    anchors: dict[str, list[Anchor]] = Field(default_factory=dict)
    """Per `source`, `destination` and `observer`, in the order they were taken."""


class QemuRecord(Part):
    """One QEMU of the trial, as it was and as it said."""

    version: str | None = None
    path: str | None = None
    argv: list[str] = Field(default_factory=list)
    machine_type: str | None = None
    accelerator: str | None = None
    capabilities_in_force: dict[str, Any] = Field(default_factory=dict)
    """Read back from QEMU after the set-up."""
    parameters_in_force: dict[str, Any] = Field(default_factory=dict)
    user: str | None = None
    memlock_bytes: int | str | None = None
    """How much memory it might lock, or `unlimited`: RDMA and zero-copy lock what they send."""


class MemoryCheck(Part):
    """The guest's own comparison of all its memory with what it must hold."""

    pages_checked: int
    pages_bad: int
    first_bad_address: int | None = None
    work_regressed: bool = False
    seq_regressed: bool = False


class DirtyPoint(Part):
    """How many different pages were written within a window: `pages` / `windows`, on average."""

    window_ms: int
    windows: int
    """Whole windows, one behind the other."""
    pages: int
    """Pages written in them, each counted once a window."""


class LoadAccount(Part):
    """What the guest did in a stretch of time, by its own count."""

    seconds: float
    """Of the guest's clock."""
    pages_written: int
    pages_read: int
    dirty_curve: list[DirtyPoint] = Field(default_factory=list)
    """From exact epochs of its pages."""


class GuestLoad(Part):
    """The guest's own account of its load."""

    start_tsc: int | None = None
    """Its TSC when the writing began: second 0 of its profile."""
    before: LoadAccount | None = None
    """From there until shortly before the migration, undisturbed."""
    during: LoadAccount | None = None
    """From there until the migration had settled."""


class WriteRate(Part):
    """The load asked and achieved, before the migration."""

    asked_bytes_per_s: float | None = None
    """In the window that was judged last."""
    measured_bytes_per_s: float | None = None
    """In the same."""
    window_s: float | None = None
    """How long one was watched: the campaign's baseline, and at least a period of the profile of up to 30 s."""
    windows_bytes_per_s: list[float | None] = Field(default_factory=list)
    """What was written in each, until one was as asked."""


class GuestRecord(Part):
    """The guest, by its image and by its own account."""

    kind: str = "builtin"
    sha256: str | None = None
    hello: dict[str, Any] | None = None
    """Its first record: nonce, TSC frequency, memory, working set, fill, vCPUs."""
    write_rate: WriteRate | None = None
    """Asked and achieved before the migration."""
    load: GuestLoad | None = None
    """What it has done, by its own count."""
    check: MemoryCheck | None = None
    """None when it was not asked, or did not answer."""


class LinkRecord(Part):
    """One link between the hosts."""

    asked_bits_per_s: int | None = None
    """What it was to be shaped to."""
    mtu: int | None = None
    delay_s: float = 0.0
    """How long each packet was to be held, each way."""
    loss: float = 0.0
    """The share of packets that were to be dropped, each way."""
    shaping: dict[str, Any] | None = None
    """How it was shaped."""
    wire_bits_per_s: float | None = None
    """Measured before the campaign, in the direction of the migration, headers included: what one TCP stream made of it."""
    goodput_bits_per_s: float | None = None
    """The same, payload only."""
    deviation: float | None = None
    """How far the wire rate was from the rate asked: -0.05 is 5 % below. Measured without the delay and the loss."""
    rtt_idle_ms: float | None = None
    """Median round trip of the idle link."""
    rtt_added_ms: float | None = None
    """By how much it was longer than without the delay and the loss: twice `delay_s` was asked."""
    rtt_loaded_ms: float | None = None
    """Median round trip while that stream ran."""
    counters_before: dict[str, Any] = Field(default_factory=dict)
    counters_after: dict[str, Any] = Field(default_factory=dict)


class RdmaRecord(Part):
    """The RDMA port of one end, where RDMA carried the migration."""

    device: str | None = None
    port: int | None = None
    provider: str | None = None
    """Its driver: `mlx5_core` and kin; `rxe` and `siw` are the kernel's own, in software."""
    link_layer: str | None = None
    """`Ethernet` (RoCE) or `InfiniBand`."""
    state: str | None = None
    mtu_bytes: int | None = None
    """Its active MTU, which is what of a message goes into one packet; None where the host has no libibverbs to ask."""
    pin_all: bool | None = None
    """Whether all memory was registered beforehand: QEMU's `rdma-pin-all`, read back."""
    chunk_bytes: int | None = None
    """What QEMU registers and sends at a time: `x-rdma-chunk-size`; None where it is no parameter of that QEMU."""
    counters_before: dict[str, int] = Field(default_factory=dict)
    """All that the port counts, in the kernel's names and units."""
    counters_after: dict[str, int] | None = None


class TrialRecord(Part):
    """All of a trial that is not a table. Its tables stand beside it."""

    schema_version: int = SCHEMA_VERSION

    number: int
    """Its number in the plan."""
    name: str
    """`<number>-<cell>`, as in the plan."""
    cell: str
    """The name of its cell, derived from the factors."""
    block: int
    """The block of the plan, its repetition; 0 is the warm-up."""
    attempt: int = 1
    """How many times it was begun, this time included."""
    warmup: bool = False
    """Run first, and left out of the results."""
    direction: str = "forward"
    """forward: from the pair's first host to its second; or reverse."""
    pair: str | None = None
    """The pair of hosts it ran on."""
    campaign: str
    """The campaign's name."""
    run: str
    """The run's name."""
    group: str | None = None
    """Trials whose machines migrated at the same time share it."""
    shared_host: bool = False
    """Another run used a host of the pair at the same time, and was allowed to."""

    spec: dict[str, Any] = Field(default_factory=dict)
    """The cell in full: factors, guest, link, limits, algorithm, transport."""

    outcome: Outcome
    """How it ended."""
    verdict: Verdict | None = None
    """What became of the machine."""
    reason: str | None = None
    """Why it did not complete."""
    rule: str | None = None
    """The rule that says it is unsupported."""

    times: Times = Field(default_factory=Times)
    clocks: Clocks = Field(default_factory=Clocks)
    qemu: dict[str, QemuRecord] = Field(default_factory=dict)
    """By side."""
    guest: GuestRecord = Field(default_factory=GuestRecord)
    links: dict[str, LinkRecord] = Field(default_factory=dict)
    """By name; the one that memory crosses is `migration`."""
    rdma: dict[str, RdmaRecord] = Field(default_factory=dict)
    """By side; empty over tcp."""
    application: dict[str, Any] | None = None
    """What a real application in the guest measured."""
    schedule: dict[str, Any] = Field(default_factory=dict)
    """What each end was told to do and when, and which rules fired."""
    evidence: dict[str, Any] = Field(default_factory=dict)
    """What was seen of each option of the algorithm that was asked for: QEMU's counters, its threads."""
    final_query_migrate: dict[str, Any] | None = None
    """The source's last reply to query-migrate, in QEMU's own keys."""
    destination_final: dict[str, Any] | None = None
    """The destination's."""
    final_status: dict[str, Any] = Field(default_factory=dict)
    """Last reply to query-status, by side."""
    not_collected: list[str] = Field(default_factory=list)
    """What should be here and could not be had, and why."""
    figures: dict[str, Scalar] = Field(default_factory=dict)
    """The derived columns of the frame."""

    def asked(self, part: str, key: str) -> Any:
        """A value of the cell, such as `asked("guest", "vcpus")`; None where it is not there."""
        found = self.spec.get(part)
        return found.get(key) if isinstance(found, dict) else None

    def to_json(self) -> str:
        """The text of `trial.json`."""
        return self.model_dump_json(indent=1) + "\n"


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""By the version they lift from; each yields a record of the next version."""


def upgrade(data: dict[str, Any], *, place: str) -> dict[str, Any]:
    """Lift the JSON object of a record to this version.

    Raises:
        ResultsError: it has no version, or a newer one, or one that cannot be lifted any more.
    """
    version = data.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ResultsError("says no schema_version", place=place, mend=_NOT_OURS)
    if version > SCHEMA_VERSION:
        raise ResultsError(
            f"has schema version {version}; this labctl reads up to {SCHEMA_VERSION}",
            place=place,
            mend="read it with the version of labctl that wrote it, or a newer one",
        )
    while version < SCHEMA_VERSION:
        if version not in UPGRADES:
            raise ResultsError(f"schema version {version} is no longer read", place=place)
        data = UPGRADES[version](data)
        version += 1
        data["schema_version"] = version
    return data


_NOT_OURS = "is it a file that labctl wrote? Restore it, or move the trial's folder away"


def parse_record(text: str, *, place: str) -> TrialRecord:
    """The record in the text of a `trial.json`; `place` is named in faults.

    Raises:
        ResultsError: it is not JSON, not a record, or of a version that cannot be read.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ResultsError(f"is not JSON ({error})", place=place, mend=_NOT_OURS) from None
    if not isinstance(data, dict):
        raise ResultsError("is not a JSON object", place=place, mend=_NOT_OURS)
    try:
        return TrialRecord.model_validate(upgrade(data, place=place))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ResultsError(f"`{where}`: {first['msg']}", place=place, mend=_NOT_OURS) from None
