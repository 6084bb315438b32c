"""Rules that look at an algorithm's options alone: what has no use, or no sense, with any QEMU.

An option that changes nothing would stand in a table and pretend that it did.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from labctl.campaign.asked import WITH_PASSES, WITH_POSTCOPY
from labctl.campaign.cells import Cell
from labctl.campaign.rule import Rule
from labctl.campaign.specs import RDMA, AlgorithmSpec, file_name_of


def changed(algorithm: AlgorithmSpec, *fields: str) -> list[str]:
    """Those of an algorithm's fields that are not at their default, as a file calls them."""
    defaults = AlgorithmSpec.model_fields
    return [
        file_name_of(name) for name in fields if getattr(algorithm, name) != defaults[name].default
    ]


@dataclass(frozen=True)
class Needs:
    """Refuses options where the cell does not give them what they work on."""

    fields: tuple[str, ...]
    met: Callable[[AlgorithmSpec], bool]
    lacking: str
    """what such a cell does not do"""

    def __call__(self, cell: Cell) -> str | None:
        """The reason, or None."""
        useless = changed(cell.algorithm, *self.fields)
        if not useless or self.met(cell.algorithm):
            return None
        kind = f"{cell.algorithm.name} is {cell.algorithm.kind}"
        return f"{', '.join(useless)}: {kind}, which {self.lacking}"


def _is(*kinds: str) -> Callable[[AlgorithmSpec], bool]:
    return lambda algorithm: algorithm.kind in kinds


def _pin_all(cell: Cell) -> str | None:
    if cell.algorithm.pin_all and cell.transport != RDMA:
        return f"pin_all: the transport is {cell.transport}, which registers no memory"
    return None


def _throttle_order(cell: Cell) -> str | None:
    algorithm = cell.algorithm
    if algorithm.auto_converge and algorithm.auto_converge_initial > algorithm.auto_converge_max:
        first, most = algorithm.auto_converge_initial, algorithm.auto_converge_max
        return f"auto_converge_initial is {first} and auto_converge_max is {most}"
    return None


def _exclusive(cell: Cell) -> str | None:
    algorithm = cell.algorithm
    return next(_both(algorithm), None)


def _both(algorithm: AlgorithmSpec) -> Iterator[str]:
    """Pairs that every QEMU that has both refuses or breaks by."""
    if algorithm.auto_converge and algorithm.dirty_limit_bytes_per_s is not None:
        yield "auto_converge and dirty_limit both slow the vCPUs down"
    if algorithm.zero_copy and algorithm.multifd_compression != "none":
        yield "zero_copy sends pages as they are, multifd_compression does not"
    if algorithm.zero_copy and algorithm.xbzrle_cache_bytes is not None:
        yield "zero_copy sends pages as they are, xbzrle_cache sends differences"


OPTION_RULES: tuple[Rule, ...] = (
    Rule(
        "preempt-needs-postcopy",
        "`preempt` is set for an algorithm that has no postcopy phase.",
        "With preempt, a page that the destination requests overtakes the pages that are on their "
        "way. Precopy and stop-and-copy request no pages.",
        "set it for postcopy and hybrid only, or leave those cells out by `exclude`.",
        by_cell=Needs(("preempt",), _is(*WITH_POSTCOPY), "requests no pages"),
    ),
    Rule(
        "postcopy-bandwidth-needs-postcopy",
        "`max_postcopy_bandwidth` is set for an algorithm that has no postcopy phase.",
        "It limits the pages that are sent unasked after the switch to postcopy.",
        "set it for postcopy and hybrid only; `max_bandwidth` limits the other phases.",
        by_cell=Needs(
            ("max_postcopy_bandwidth_bytes_per_s",), _is(*WITH_POSTCOPY), "has no postcopy phase"
        ),
    ),
    Rule(
        "switch-needs-hybrid",
        "`switch` is varied or set, and the algorithm is not hybrid.",
        "Only hybrid chooses when it switches to postcopy. The other algorithms run in the cell "
        "with the default (`after_passes: 1`), and not again under another level.",
        "leave those cells out by `exclude`, or name variants of hybrid under `algorithms`.",
        by_cell=Needs(("switch",), _is("hybrid"), "does not choose when it switches"),
    ),
    Rule(
        "pause-needs-precopy",
        "`pause_after_passes` is set, and the algorithm is not precopy.",
        "It stops the machine so that precopy finishes. Stop-and-copy stops it at once; postcopy "
        "and hybrid have the switch for that.",
        "set it for precopy only.",
        by_cell=Needs(("pause_after_passes",), _is("precopy"), "is not paused to finish"),
    ),
    Rule(
        "aid-needs-passes",
        "`auto_converge`, `dirty_limit` or `xbzrle_cache` is set for an algorithm that sends each "
        "page once.",
        "The first two slow a machine down that writes faster than its memory is sent, the third "
        "sends again only what has changed of a page: precopy and hybrid have passes in which that "
        "can be. Stop-and-copy and postcopy send each page once.",
        "set it for precopy and hybrid only, or leave those cells out by `exclude`.",
        by_cell=Needs(
            ("auto_converge", "dirty_limit_bytes_per_s", "xbzrle_cache_bytes"),
            _is(*WITH_PASSES),
            "sends each page once",
        ),
    ),
    Rule(
        "throttle-needs-auto-converge",
        "An option of auto-converge is set, and auto-converge is off.",
        "`auto_converge_initial`, `auto_converge_increment` and `auto_converge_max` are read by "
        "QEMU when auto-converge is on.",
        "set `auto_converge: true` too.",
        by_cell=Needs(
            ("auto_converge_initial", "auto_converge_increment", "auto_converge_max"),
            lambda algorithm: algorithm.auto_converge,
            "does not slow its vCPUs down: auto_converge is false",
        ),
    ),
    Rule(
        "throttle-order",
        "Auto-converge would begin with more than its most.",
        "QEMU refuses a `max-cpu-throttle` below `cpu-throttle-initial`.",
        "give `auto_converge_initial` a value of at most `auto_converge_max`.",
        by_cell=_throttle_order,
    ),
    Rule(
        "multifd-needed",
        "`multifd_compression` or `zero_copy` is set without multifd.",
        "Both are done by the threads of multifd's connections. QEMU refuses zero-copy without "
        "them, and does not look at the compression.",
        "give `multifd_channels` too.",
        by_cell=Needs(
            ("multifd_compression", "zero_copy"),
            lambda algorithm: algorithm.multifd_channels > 0,
            "has no connections of multifd",
        ),
    ),
    Rule(
        "pin-all-needs-rdma",
        "`pin_all` is set, and the transport is not `rdma`.",
        "An RDMA device reads and writes memory by itself, so memory has to be registered with it, and stays "
        "where it is from then on: all of it at the beginning with `pin_all`, else each part before it is "
        "sent. TCP copies what it sends.",
        "set `transport: rdma` too, or leave those cells out by `exclude`.",
        by_cell=_pin_all,
    ),
    Rule(
        "options-exclude-each-other",
        "Two options are set of which one undoes the other.",
        "QEMU refuses auto-converge with dirty-limit, and zero-copy with compression or XBZRLE: each "
        "version that has both was tried.",
        "set one of the two; variants under `algorithms` compare them.",
        by_cell=_exclusive,
    ),
)
"""These rules, in the order in which they are tried."""
