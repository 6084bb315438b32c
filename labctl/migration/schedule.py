"""A schedule: what an algorithm does, as data. Pure; compared by golden tests.

The source's node evaluates the rules on its own events and clock, so that no network latency shifts a switch; the format
of each end's part is documented in `labctl.node.migration`.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

Command = dict[str, Any]
"""`{"execute": NAME, "arguments": {...}}`"""

URI = "${uri}"
"""stands for the destination's address, known once it listens"""

ENDS = ("completed", "failed", "cancelled", "postcopy-paused")
"""statuses of QEMU's MIGRATION event that end a migration on its source"""


@dataclass(frozen=True)
class Rule:
    """`when` something is seen, `do` commands; once, and not after one of the rules named in `unless`."""

    name: str
    when: dict[str, Any]
    do: tuple[Command, ...]
    unless: tuple[str, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """One migration: set-up of both ends, start, rules of both ends."""

    capabilities: dict[str, bool]
    """set on both ends, and read back"""
    parameters: dict[str, Any]
    """`migrate-set-parameters` of both ends"""
    start: tuple[Command, ...]
    rules: tuple[Rule, ...]
    hard_limit_s: float
    """after which a migration that has switched over, and so cannot be cancelled, is given up"""
    destination_rules: tuple[Rule, ...] = field(default=())

    def with_uri(self, uri: str) -> "Schedule":
        """The same schedule with the destination's address in it."""

        def fill(command: Command) -> Command:
            arguments = command.get("arguments", {})
            filled = {key: uri if value == URI else value for key, value in arguments.items()}
            return {**command, "arguments": filled}

        return replace(self, start=tuple(fill(command) for command in self.start))

    def for_source(self) -> dict[str, Any]:
        """The source's part, as its node reads it."""
        return self._part(self.start, self.rules)

    def for_destination(self) -> dict[str, Any]:
        """The destination's part, as its node reads it."""
        return self._part((), self.destination_rules)

    def _part(self, start: tuple[Command, ...], rules: tuple[Rule, ...]) -> dict[str, Any]:
        return {
            "start": list(start),
            "rules": [asdict(rule) for rule in rules],
            "ends": list(ENDS),
            "hard_limit_s": self.hard_limit_s,
        }


def command(name: str, **arguments: Any) -> Command:
    """A QMP command; underscores of argument names become hyphens."""
    return {
        "execute": name,
        "arguments": {key.replace("_", "-"): value for key, value in arguments.items()},
    }
