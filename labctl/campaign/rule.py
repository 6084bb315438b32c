"""What a rule of a plan is, and what it is given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from labctl.campaign.capabilities import Capabilities
from labctl.campaign.cells import Cell


@dataclass(frozen=True)
class Ends:
    """The two hosts of a trial."""

    source: Capabilities
    destination: Capabilities

    def roles(self) -> Iterator[tuple[str, Capabilities]]:
        """Each end by the name of its role."""
        yield "source", self.source
        yield "destination", self.destination


@dataclass(frozen=True)
class Rule:
    """One reason for which a cell is not run. `page` is its documentation."""

    id: str
    problem: str
    why: str
    mend: str
    by_cell: Callable[[Cell], str | None] | None = field(default=None, repr=False)
    by_ends: Callable[[Cell, Ends], str | None] | None = field(default=None, repr=False)

    @property
    def page(self) -> str:
        """Problem, why and mend, as one page."""
        return f"{self.problem}\n\n*Why:* {self.why}\n\n*Mend:* {self.mend}"

    def check(
        self, cell: Cell, source: Capabilities | None, destination: Capabilities | None
    ) -> str | None:
        """The reason why this cell cannot run, or None."""
        if self.by_cell:
            return self.by_cell(cell)
        if self.by_ends and source and destination:
            return self.by_ends(cell, Ends(source, destination))
        return None


@dataclass(frozen=True)
class Refusal:
    """A rule that refuses a cell, and the reason in the case at hand."""

    rule: str
    reason: str
