"""What each trial of a plan is, in labels whose values are few: Prometheus keeps a series for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from labctl.analysis.cells import in_words
from labctl.campaign import Plan

MAX_ALGORITHMS: Final = 24
"""algorithms x transports of a run that have labels of their own"""
MAX_CELLS: Final = 40
"""algorithms x transports x loads that do"""
OTHER: Final = "other"
"""the label of those after them, in the order of the plan"""


@dataclass(frozen=True)
class Which:
    """What a trial is."""

    cell: str
    algorithm: str
    transport: str
    load: str
    """its cell's other levels, in words"""
    twin: bool
    """of a cell that is run twice, to see the noise"""
    direction: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Algorithm, transport, load."""
        return self.algorithm, self.transport, self.load


def which_of(plan: Plan) -> dict[int, Which]:
    """By trial's number, in the order of the plan's cells."""
    algorithms: dict[tuple[str, str], tuple[str, str]] = {}
    loads: dict[tuple[str, str, str], str] = {}
    keys: dict[str, tuple[str, str, str]] = {}
    for cell in plan.cells:
        named = (cell.algorithm.name, cell.carrier)
        few = len(algorithms) < MAX_ALGORITHMS
        algorithm, transport = algorithms.setdefault(named, named if few else (OTHER, OTHER))
        load = _load(cell.factors)
        few = len(loads) < MAX_CELLS
        load = loads.setdefault((algorithm, transport, load), load if few else OTHER)
        keys[cell.name] = (algorithm, transport, load)
    twins = {cell.name for cell in plan.cells if cell.twin_of is not None}
    places = {name: place for place, name in enumerate(keys)}
    trials = sorted(plan.trials, key=lambda trial: places[trial.cell])
    return {
        trial.number: Which(trial.cell, *keys[trial.cell], trial.cell in twins, trial.direction)
        for trial in trials
    }


def _load(factors: Mapping[str, Any]) -> str:
    names = [name for name in factors if name not in {"algorithm", "transport"}]
    return in_words(names, [str(factors[name]) for name in names])
