"""What one cell is made of: the guest, the link, the limits, the algorithm.

A field's name in a file is its Python name without the unit: `memory: 256MiB` is
`memory_bytes == 268435456`. Every scalar here but an algorithm's name and kind can be a factor.
"""

import re
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from labctl.campaign.scalars import (
    BANDWIDTH,
    COUNT,
    DURATION,
    EXPONENT,
    FLAG,
    NONE,
    POWER_OF_TWO,
    RATE,
    SHARE,
    SIZE,
    Scalar,
    choice,
    custom_error,
    name,
)

MIB = 2**20
PAGE_BYTES = 4096

PATTERN = choice("sequential", "random", "zipf", "once")
CONTENT = choice("random", "zero", "constant", "delta")
FILL = choice("zero", "constant", "random")
GUEST_KIND = choice("builtin")
AlgorithmKind = Literal["stop_and_copy", "precopy", "postcopy", "hybrid"]
BUILT_IN_NAMES: tuple[str, ...] = get_args(AlgorithmKind)
"""The kinds of algorithm, and the variants that every campaign has."""
ALGORITHM_KIND = choice(*BUILT_IN_NAMES)
TRANSPORT = choice("tcp", "rdma")
RDMA: Final = "rdma"
"""the transport that needs a device, and that QEMU does not combine with everything"""
QEMU = replace(
    name(
        "the path of a QEMU, or a name under `qemus`",
        r"/[A-Za-z0-9_./-]{1,120}|[a-z][a-z0-9_.-]{0,39}",
        "write a path from `/` on, or a name of at most 40 lower-case letters, digits, `_`, `.` or `-`",
    ),
    optional=True,
)

MEMORY = SIZE.within(32 * MIB, 2**46, step=MIB)
WORKING_SET = SIZE.within(PAGE_BYTES, 2**46, step=PAGE_BYTES)
WRITE_RATE = RATE.within(0, 2**40)
ZIPF_EXPONENT = EXPONENT.within(0.1, 5)
DELTA = SIZE.within(8, PAGE_BYTES, step=8)
READ_SHARE = SHARE.within(0, 0.99)
VCPUS = COUNT.within(1, 32)
EQUAL = "equal"
VCPU_PARTS = name(
    "how vCPUs share the load",
    r"equal|[1-9][0-9]?(:[1-9][0-9]?){0,31}",
    "write `equal`, or a part of 1 to 99 for each vCPU, as in `3:1`",
)
CONSTANT = "constant"
"""The profile that every campaign has: the write rate, always."""
PROFILE = name(
    "a profile's name",
    r"[a-z][a-z0-9_-]{0,39}",
    "write at most 40 lower-case letters, digits, `_` or `-`, a letter first",
)
SEED = COUNT.within(0, 2**63 - 1)
LINK_BANDWIDTH = BANDWIDTH.within(100_000, 10**12, optional=True)
MTU = COUNT.within(576, 65_535, optional=True)
LINK_DELAY = DURATION.within(0, 1)
"""Some four times the way over a geostationary satellite: beyond it, waits for an answer would say more of TCP's patience than of the link."""
LINK_LOSS = SHARE.within(0, 0.1)
"""With more, a TCP stream stands still most of the time, waiting to send again what was lost twice."""
TOTAL_TIME = DURATION.within(0.1, 86_400)
DOWNTIME = DURATION.within(0.001, 2_000)
MAX_BANDWIDTH = RATE.within(1_000, 2**40, optional=True)
MULTIFD_CHANNELS = COUNT.within(0, 255)
MULTIFD_COMPRESSION = choice(NONE, "zlib", "zstd")
XBZRLE_CACHE = POWER_OF_TWO.within(PAGE_BYTES, 2**46, optional=True)
DIRTY_LIMIT = RATE.within(MIB, 2**40, step=MIB, optional=True)
THROTTLE = COUNT.within(1, 99)
PASSES = COUNT.within(1, 10_000)
PASSES_OR_NEVER = COUNT.within(0, 10_000)
AFTER_TIME = DURATION.within(0.001, 86_400)
PER_CENT = COUNT.within(1, 99)
OBSERVED = DURATION.within(0.1, 3_600)

Transport = Literal["tcp", "rdma"]
Pattern = Literal["sequential", "random", "zipf", "once"]
Content = Literal["random", "zero", "constant", "delta"]


def file_name_of(field: str) -> str:
    """A field's name in a file: without its unit."""
    return re.sub(r"_(bytes_per_s|bits_per_s|bytes|s)$", "", field)


def reads(scalar: Scalar) -> BeforeValidator:
    """The validator of a field that holds this kind of value."""
    return BeforeValidator(scalar.validate)


def reads_or_not(scalar: Scalar) -> BeforeValidator:
    """The same where None says that another field holds one instead."""
    return BeforeValidator(lambda value: None if value is None else scalar.validate(value))


class Spec(BaseModel):
    """Frozen, strict about keys; reads the file's names and the Python names."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=file_name_of,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
    )


class GuestSpec(Spec):
    """The machine that is migrated, and what it does to its memory."""

    kind: Annotated[Literal["builtin"], reads(GUEST_KIND), GUEST_KIND] = "builtin"
    """`builtin`: labctl's own bare-metal guest"""
    memory_bytes: Annotated[int, reads(MEMORY), MEMORY]
    """the machine's memory, in whole MiB"""
    working_set_bytes: Annotated[int, reads(WORKING_SET), WORKING_SET]
    """the pages that are written at all"""
    pattern: Annotated[Pattern, reads(PATTERN), PATTERN] = "random"
    """the order in which the working set's pages are written: random is uniform, once ends after a round"""
    zipf_exponent: Annotated[float, reads(ZIPF_EXPONENT), ZIPF_EXPONENT] = 1.0
    """zipf only: the page of rank k is written in proportion to k to the power of minus this"""
    content: Annotated[Content, reads(CONTENT), CONTENT] = "random"
    """what a write leaves in its page; delta: only a part of it changes"""
    delta_bytes: Annotated[int, reads(DELTA), DELTA] = 64
    """delta only: what changes of a page from one write to the next, in multiples of 8B"""
    fill: Annotated[Literal["zero", "constant", "random"], reads(FILL), FILL] = "random"
    """what the memory outside the working set holds (zero pages cost almost nothing to send)"""
    write_rate_bytes_per_s: Annotated[int, reads(WRITE_RATE), WRITE_RATE] = 0
    """bytes of pages written per second, by all vCPUs together"""
    profile: Annotated[str, reads(PROFILE), PROFILE] = CONSTANT
    """how the write rate changes over time: constant, or one of `profiles`"""
    read_share: Annotated[float, reads(READ_SHARE), READ_SHARE] = 0.0
    """share of the page accesses that are reads, beside the writes"""
    vcpus: Annotated[int, reads(VCPUS), VCPUS] = 1
    """virtual CPUs, each of which writes its part"""
    vcpu_parts: Annotated[str, reads(VCPU_PARTS), VCPU_PARTS] = EQUAL
    """the parts of the working set and of the write rate that the vCPUs have: `3:1`"""
    seed: Annotated[int, reads(SEED), SEED] = 1
    """seed of the guest's contents and of the random pattern"""

    @property
    def parts(self) -> tuple[int, ...]:
        """The parts that the vCPUs have; as many as were said."""
        if self.vcpu_parts == EQUAL:
            return (1,) * self.vcpus
        return tuple(int(part) for part in self.vcpu_parts.split(":"))

    @property
    def slices(self) -> tuple[int, ...]:
        """The pages that each part of the working set has."""
        pages, whole = self.working_set_bytes // PAGE_BYTES, sum(self.parts)
        ends = [pages * below // whole for below in accumulate(self.parts, initial=0)]
        return tuple(end - start for start, end in pairwise(ends))


class LinkSpec(Spec):
    """The link that the migration crosses."""

    bandwidth_bits_per_s: Annotated[int | None, reads(LINK_BANDWIDTH), LINK_BANDWIDTH]
    """what the link is shaped to, each way, in bits; `none`: it is left as it is"""
    mtu: Annotated[int | None, reads(MTU), MTU] = 1500
    """the largest packet, in bytes; `none`: as it is"""
    delay_s: Annotated[float, reads(LINK_DELAY), LINK_DELAY] = 0.0
    """how long each packet is held, each way, so that a round trip takes twice as much longer"""
    loss: Annotated[float, reads(LINK_LOSS), LINK_LOSS] = 0.0
    """the share of packets that are dropped, each way"""

    @property
    def bare(self) -> "LinkSpec":
        """The same without delay and loss."""
        return self.model_copy(update={"delay_s": 0.0, "loss": 0.0})


class LimitsSpec(Spec):
    """How long a migration may take, and how long it may stop the guest."""

    total_time_s: Annotated[float, reads(TOTAL_TIME), TOTAL_TIME] = 60.0
    """a migration that has not switched over by then is `not_converged`"""
    downtime_s: Annotated[float, reads(DOWNTIME), DOWNTIME] = 0.3
    """QEMU's `downtime-limit`: the stop it may plan for when it switches over"""


class SwitchSpec(Spec):
    """When a hybrid switches from precopy to postcopy: one of these."""

    after_passes: Annotated[int | None, reads_or_not(PASSES), PASSES] = None
    """after so many passes over the memory"""
    after_time_s: Annotated[float | None, reads_or_not(AFTER_TIME), AFTER_TIME] = None
    """after so much time"""
    on_stall: Annotated[int | None, reads_or_not(PER_CENT), PER_CENT] = None
    """once a pass has left so few bytes less to send than the one before it: so many per cent"""

    @model_validator(mode="after")
    def _one(self) -> "SwitchSpec":
        said = [file_name_of(name) for name, value in self if value is not None]
        if len(said) != 1:
            raise custom_error(
                f"{' and '.join(said)} together" if said else "it does not say when",
                f"write one of {', '.join(map(file_name_of, SwitchSpec.model_fields))}",
            )
        return self


class AlgorithmSpec(Spec):
    """One variant of an algorithm: its kind and its options."""

    name: str
    kind: Annotated[AlgorithmKind, reads(ALGORITHM_KIND), ALGORITHM_KIND]
    """stop_and_copy, precopy, postcopy or hybrid"""
    max_bandwidth_bytes_per_s: Annotated[int | None, reads(MAX_BANDWIDTH), MAX_BANDWIDTH] = None
    """QEMU's own limit of its transfer; `none`: the link is the limit"""
    multifd_channels: Annotated[int, reads(MULTIFD_CHANNELS), MULTIFD_CHANNELS] = 0
    """parallel connections of multifd; 0: off"""
    multifd_compression: Annotated[
        Literal["none", "zlib", "zstd"], reads(MULTIFD_COMPRESSION), MULTIFD_COMPRESSION
    ] = "none"
    """multifd only: what each connection compresses with"""
    zero_copy: Annotated[bool, reads(FLAG), FLAG] = False
    """multifd only: the kernel sends pages from where they are (`zero-copy-send`)"""
    xbzrle_cache_bytes: Annotated[int | None, reads(XBZRLE_CACHE), XBZRLE_CACHE] = None
    """XBZRLE's cache of pages that were sent, so that only what has changed is sent again; `none`: off"""
    auto_converge: Annotated[bool, reads(FLAG), FLAG] = False
    """the vCPUs are slowed down until the migration converges"""
    auto_converge_initial: Annotated[int, reads(THROTTLE), THROTTLE] = 20
    """auto-converge: per cent of a vCPU's time that is taken at first"""
    auto_converge_increment: Annotated[int, reads(THROTTLE), THROTTLE] = 10
    """auto-converge: per cent that are added each time"""
    auto_converge_max: Annotated[int, reads(THROTTLE), THROTTLE] = 99
    """auto-converge: per cent that are never exceeded"""
    dirty_limit_bytes_per_s: Annotated[int | None, reads(DIRTY_LIMIT), DIRTY_LIMIT] = None
    """each vCPU is held to so many bytes of pages dirtied per second, by KVM's dirty ring; `none`: off"""
    preempt: Annotated[bool, reads(FLAG), FLAG] = False
    """postcopy only: requested pages overtake the others (`postcopy-preempt`)"""
    max_postcopy_bandwidth_bytes_per_s: Annotated[
        int | None, reads(MAX_BANDWIDTH), MAX_BANDWIDTH
    ] = None
    """postcopy only: QEMU's own limit of pages sent unasked after the switch; `none`: no limit"""
    pause_after_passes: Annotated[int, reads(PASSES_OR_NEVER), PASSES_OR_NEVER] = 0
    """precopy only: the machine is stopped after so many passes, so that the rest fits; 0: never"""
    pin_all: Annotated[bool, reads(FLAG), FLAG] = False
    """rdma only: all memory is registered beforehand, on both ends, and not each part before its own is sent (`rdma-pin-all`)"""
    switch: SwitchSpec = SwitchSpec(after_passes=1)
    """hybrid only: when it switches to postcopy"""


class TimingSpec(Spec):
    """How long a trial watches the guest around the migration. Not a factor."""

    baseline_s: Annotated[float, reads(OBSERVED), OBSERVED] = Field(default=1.0)
    """before: what the guest does when it is left alone"""
    settle_s: Annotated[float, reads(OBSERVED), OBSERVED] = Field(default=0.5)
    """after: until the memory check"""


def working_set_room(memory_bytes: int) -> int:
    """The largest working set, in bytes, of a guest with so much memory.

    The built-in guest needs the first 2 MiB, 8 bytes for each page it writes, and page tables;
    firmware keeps some.
    """
    return memory_bytes - 4 * MIB - memory_bytes // 512
