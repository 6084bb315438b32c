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
}
ALONE = {"dirty-limit", "switch on time", "switch on stall"}
"""not paired: the first no QEMU can do without KVM's dirty ring, the others only say when"""
_REST = {
    "name": "combinations",
    "guest": {"memory": "64MiB", "working_set": "16MiB", "write_rate": "25MiB/s"},
    "link": {"bandwidth": "500Mbit/s"},
    "limits": {"total_time": "6s", "downtime": "50ms"},
    "timing": {"baseline": "200ms", "settle": "200ms"},
    "algorithm": "asked",
}


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


def campaign(kind: str, options: tuple[str, ...], qemu: str | None) -> Campaign:
    """A small campaign of one cell."""
    asked: dict[str, Any] = {"kind": kind}
    for name in options:
        asked |= OPTIONS[name]
    whole = {**_REST, "algorithms": {"asked": asked}, **({"qemu": qemu} if qemu else {})}
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


def useless(cell: Cell) -> str | None:
    """The rule that refuses it with any QEMU."""
    return next((rule.id for rule in OPTION_RULES if rule.check(cell, None, None)), None)


def load() -> list[Found]:
    """What was found, as kept."""
    lines = FOUND.read_text().splitlines() if FOUND.exists() else []
    return [Found(**{**json.loads(line), "options": tuple(json.loads(line)["options"])}) for line in lines]  # fmt: skip


def save(found: list[Found]) -> None:
    """Keep it, in a fixed order."""
    order = list(combinations())
    known = [one for one in found if (one.kind, one.options) in order]
    known.sort(key=lambda one: (order.index((one.kind, one.options)), one.qemu))
    FOUND.write_text("".join(json.dumps(asdict(one)) + "\n" for one in known))
