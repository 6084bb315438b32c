"""What is tried, and what came of it as a file keeps it."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labctl.campaign import Campaign, Cell, expand, parse_campaign
from labctl.campaign.option_rules import OPTION_RULES
from labctl.campaign.specs import BUILT_IN_NAMES

FOUND = Path(__file__).with_name("found.jsonl")
"""what the command has found, a line each"""
FOUND_OVER_RDMA = Path(__file__).with_name("found_over_rdma.jsonl")
"""the same over RDMA, on a lab that has it"""

OPTIONS: dict[str, dict[str, Any]] = {
    "multifd": {"multifd_channels": 2},
    "multifd zlib": {"multifd_channels": 2, "multifd_compression": "zlib"},
    "multifd zstd": {"multifd_channels": 2, "multifd_compression": "zstd"},
    "multifd zero-copy": {"multifd_channels": 2, "zero_copy": True},
    "xbzrle": {"xbzrle_cache": "16MiB"},
    "auto-converge": {"auto_converge": True},
    "dirty-limit": {"dirty_limit": "10MiB/s"},
    "preempt": {"preempt": True},
    "max-postcopy-bandwidth": {"max_postcopy_bandwidth": "200MiB/s"},
    "pause": {"pause_after_passes": 2},
    "switch on time": {"switch": {"after_time": "700ms"}},
    "switch on stall": {"switch": {"on_stall": 10}},
    "pin-all": {"pin_all": True},
}
ALONE = {"dirty-limit", "switch on time", "switch on stall"}
"""not paired: the first no QEMU can do without KVM's dirty ring, the others only say when"""
OVER_RDMA = ("multifd", "multifd zero-copy", "xbzrle", "auto-converge", "preempt", "pin-all")
"""tried over RDMA, each alone: what has to do with how bytes travel, and what keeps a machine from writing more than do"""
_REST = {
    "name": "combinations",
    "guest": {"memory": "64MiB", "working_set": "16MiB", "write_rate": "25MiB/s"},
    "link": {"bandwidth": "500Mbit/s"},
    "limits": {"total_time": "6s", "downtime": "50ms"},
    "timing": {"baseline": "200ms", "settle": "200ms"},
    "algorithm": "asked",
}
_REST_OVER_RDMA = {
    **_REST,
    "guest": {"memory": "32MiB", "working_set": "1MiB", "write_rate": "64KiB/s"},
    "link": {"bandwidth": "none", "mtu": "none"},
    "limits": {"total_time": "120s"},
    "timing": {"baseline": "2s", "settle": "2s"},
    "transport": "rdma",
}
"""Of hosts that are emulated themselves, a machine that is as small as it can be."""


@dataclass(frozen=True)
class Found:
    """What came of one combination on one QEMU."""

    qemu: str
    kind: str
    options: tuple[str, ...]
    rule: str | None
    """the rule that refuses it, were it planned"""
    outcome: str
    """of the trial that was made whatever the rule says; the worst of several"""
    reason: str | None
    trials: int = 1

    @property
    def works(self) -> bool:
        """Whether every trial of it went as asked, converged or not."""
        return self.outcome in ("completed", "not_converged")


def campaign(
    kind: str, options: tuple[str, ...], qemu: str | None, *, rdma: bool = False
) -> Campaign:
    """A small campaign of one cell."""
    asked: dict[str, Any] = {"kind": kind}
    if rdma and kind == "hybrid":
        # So small a machine may have finished when its first pass is over.
        asked |= OPTIONS["switch on time"]
    for name in options:
        asked |= OPTIONS[name]
    rest = _REST_OVER_RDMA if rdma else _REST
    whole = {**rest, "algorithms": {"asked": asked}, **({"qemu": qemu} if qemu else {})}
    return parse_campaign(json.dumps(whole))


def combinations() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Kinds with no option, one, or two, that are not without use or sense by themselves."""
    for count in (0, 1, 2):
        for options in itertools.combinations(OPTIONS, count):
            if len({name.partition(" ")[0] for name in options}) < count:
                continue  # forms of one option
            if count == 2 and ALONE & set(options):
                continue
            for kind in BUILT_IN_NAMES:
                (cell,) = expand(campaign(kind, options, None))
                if not useless(cell):
                    yield kind, options


def combinations_over_rdma() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every kind with no option, and each of `OVER_RDMA` with the first kind that has a use for it: a trial takes a minute."""
    for kind in BUILT_IN_NAMES:
        yield kind, ()
    for name in OVER_RDMA:
        cells = {kind: expand(campaign(kind, (name,), None, rdma=True))[0] for kind in ("precopy", "postcopy")}  # fmt: skip
        yield next(kind for kind, cell in cells.items() if not useless(cell)), (name,)


def useless(cell: Cell) -> str | None:
    """The rule that refuses it with any QEMU."""
    return next((rule.id for rule in OPTION_RULES if rule.check(cell, None, None)), None)


def load(path: Path = FOUND) -> list[Found]:
    """What was found, as kept."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Found(**{**json.loads(line), "options": tuple(json.loads(line)["options"])}) for line in lines]  # fmt: skip


def save(found: list[Found], path: Path = FOUND) -> None:
    """Keep it, in a fixed order."""
    order = list(combinations() if path == FOUND else combinations_over_rdma())
    known = [one for one in found if (one.kind, one.options) in order]
    known.sort(key=lambda one: (order.index((one.kind, one.options)), one.qemu))
    path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in known))
