"""How often a campaign runs its cells: a number of blocks, or until its figures are known well enough; and one cell twice.

A campaign that is adaptive begins with `min` blocks. A cell is *settled* when half the width of the 95 % interval of its
median is small beside the median; what is not settled goes on, block by block, until `max` (`labctl.campaign.growth`).
Whether a cell is settled only results can say: `labctl.analysis.adaptive` does.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from labctl.campaign.scalars import COUNT, FLAG, SHARE, choice, custom_error, shown
from labctl.campaign.specs import Spec, reads

METRICS = (
    "total_time", "blackout", "stall_max", "brownout", "work_lost", "wire_per_memory", "cpu_both",
    "exposure", "interruption", "service_lost", "wire", "stall_total", "stall_page_fault", "downtime",
    "cpu_per_gib", "memory_extra_peak", "held", "model_error", "vcpu_stolen", "clock_off",
    "beats_lost", "beats_reordered", "transfer",
)  # fmt: skip
"""What `of` may name: the metrics of `labctl.analysis`, which stands above this room; a test holds the two together."""
ENOUGH = 6
"""fewer values have no interval of their median"""
MOST = 10_000
"""blocks of one campaign"""

REPETITIONS = COUNT.within(1, MOST)
LEAST_BLOCKS = COUNT.within(ENOUGH, MOST)
MOST_BLOCKS = COUNT.within(ENOUGH, MOST)
RELATIVE_INTERVAL = SHARE.within(0.001, 0.5)
METRIC = choice(*METRICS)


def _list_of_metrics(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise custom_error(
            f"{shown(value)} is no list of metrics", "write as in `of: [total_time]`"
        )
    if not value:
        raise custom_error("no metric is named", "name one, or leave `of` out: it is total_time")
    if len(set(map(str, value))) < len(value):
        raise custom_error("a metric is named twice", "name each once")
    return value


class UntilSpec(Spec):
    """When a cell needs no more repetitions."""

    relative_interval: Annotated[float, reads(RELATIVE_INTERVAL), RELATIVE_INTERVAL]
    """half the width of the 95 % interval of a median, as a share of the median, is at most this"""
    of: Annotated[tuple[Annotated[str, reads(METRIC)], ...], BeforeValidator(_list_of_metrics)] = (
        "total_time",
    )
    """the metrics of which it is, each"""


class RepetitionsSpec(Spec):
    """Repetitions until each cell is known well enough."""

    until: UntilSpec
    """when a cell needs no more"""
    min: Annotated[int, reads(LEAST_BLOCKS), LEAST_BLOCKS] = ENOUGH
    """blocks to begin with, of every cell"""
    max: Annotated[int, reads(MOST_BLOCKS), MOST_BLOCKS] = 60
    """blocks that are never exceeded"""

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.max < self.min:
            raise custom_error(
                f"`max: {self.max}` is less than `min: {self.min}`",
                f"write `max: {self.min}` or more",
            )
        return self


def _form(value: Any) -> str:
    return UNTIL if isinstance(value, Mapping | RepetitionsSpec) else PLAIN


PLAIN, UNTIL = "[plain]", "[until]"
"""What pydantic calls the two forms where it says in which a fault is: no part of the file"""

Repetitions = Annotated[
    Annotated[int, reads(REPETITIONS), Tag(PLAIN)] | Annotated[RepetitionsSpec, Tag(UNTIL)],
    Discriminator(_form),
]
"""A number, or a rule."""


class NoiseSpec(Spec):
    """The noise floor: how far figures lie apart where nothing differs."""

    aa: Annotated[bool, reads(FLAG), FLAG] = False
    """one cell is run once more in each block, as a twin of its own"""
    of: dict[str, str] = Field(default_factory=dict)
    """which: the first that has these levels, and that can run; left out: the first that can run"""
