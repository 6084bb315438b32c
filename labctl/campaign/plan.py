"""The plan: every trial of a campaign in the order it will run, a randomised complete block design.

A block is one repetition: every cell once, in an order of its own. A cell's direction alternates
from block to block and on each pair, from a start of its own. Block 0 holds the warm-ups, which are
run first and discarded; where a lab has several pairs, each has its own. What a rule refuses stays
in the plan, with its own number and the reason, and is not run. Order and directions come from the
seed and the names alone (`labctl.campaign.blocks`): the same campaign has the same plan on every
machine, for good.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from labctl.campaign.blocks import block_of, direction
from labctl.campaign.capabilities import Capabilities
from labctl.campaign.carriers import provider_of
from labctl.campaign.cells import Cell, expand, twin
from labctl.campaign.estimate import estimate_run_s, estimate_trial_s
from labctl.campaign.factors import matches
from labctl.campaign.models import Campaign
from labctl.campaign.planned import PlannedTrial
from labctl.campaign.rule import Refusal
from labctl.campaign.rules import first_refusal
from labctl.errors import InputError, ResultsError

Pairs = Mapping[str, tuple[Capabilities, Capabilities]]
"""What each pair of a lab can do: its first host (the source of `forward`), its second."""


class Plan(BaseModel):
    """A campaign's trials, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: Literal[3] = 3
    campaign: str
    """the campaign's name"""
    seed: int
    """what the order comes from"""
    quick: bool = False
    """one repetition and no warm-up"""
    pairs: tuple[str, ...] = ()
    """of the lab that it was made for; empty: any lab"""
    cells: tuple[Cell, ...]
    trials: tuple[PlannedTrial, ...]

    @property
    def estimate_s(self) -> float:
        """How long all trials may take, spread over the pairs."""
        return round(estimate_run_s(self.trials, self.pairs), 3)

    def left(self, finished: Collection[int]) -> list[PlannedTrial]:
        """What is still to be run when these have their results. Without a trial that counts, nothing is warmed up."""
        left = [t for t in self.trials if t.supported and t.number not in finished]
        return left if any(not trial.warmup for trial in left) else []

    def cell(self, name: str) -> Cell:
        """The cell of that name. Raises InputError."""
        for cell in self.cells:
            if cell.name == name:
                return cell
        raise InputError(f"the plan has no cell `{name}`", mend="take a name from `labctl plan`")

    def to_json(self) -> str:
        """The text of plan.json."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """The plan of a plan.json. Raises ResultsError."""
        try:
            return cls.model_validate(_lifted(json.loads(text)))
        except (ValueError, TypeError) as error:
            if not isinstance(error, ValidationError):
                raise ResultsError(f"this is not a plan: {error}", place="plan.json") from None
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "plan"
            raise ResultsError(
                f"this is not a plan that this version reads: {where}: {first['msg']}",
                place="plan.json",
                mend="read it with the version of labctl that wrote it, or a newer one",
            ) from None


def make_plan(campaign: Campaign, pairs: Pairs | None = None, *, quick: bool = False) -> Plan:
    """The plan of a campaign for a lab's pairs; without pairs, for any lab that can do everything.

    Which pair runs a block is decided when it runs, so a cell is unsupported when any pair refuses
    it, in either direction. `quick`: one repetition and no warm-up. An adaptive campaign's plan has the blocks that it begins
    with; `labctl.campaign.growth` adds to them.
    """
    seed = campaign.order_seed
    pairs = pairs or {}
    ends = [end for pair in pairs.values() for end in pair]
    cells = [
        cell.model_copy(update={"rdma_provider": provider_of(cell.transport, ends)})
        for cell in expand(campaign)
    ]
    refusals = {cell.name: _refusal(cell, pairs) for cell in cells}
    runnable = [cell.name for cell in cells if refusals[cell.name] is None]
    if campaign.noise.aa:
        _add_twin(campaign, cells, refusals)
    warmups = 0 if quick or not runnable else campaign.warmups
    order = [
        (0, runnable[i % len(runnable)], direction(i), pair)
        for pair in (sorted(pairs) if len(pairs) > 1 else [None])
        for i in range(warmups)
    ]
    names = [cell.name for cell in cells]
    for block in range(1, 1 + (1 if quick else campaign.first_blocks)):
        made = block_of(seed, block, len(pairs), names)
        order += [(block, cell, way, None) for cell, way in made]
    estimates = {
        cell.name: 0.0 if refusals[cell.name] else estimate_trial_s(cell, campaign.timing)
        for cell in cells
    }
    trials = []
    for number, (block, cell, way, pair) in enumerate(order, start=1):
        refusal = refusals[cell]
        trials.append(
            PlannedTrial(
                number=number,
                cell=cell,
                block=block,
                direction=way,
                pair=pair,
                warmup=block == 0,
                rule=refusal.rule if refusal else None,
                reason=refusal.reason if refusal else None,
                estimate_s=estimates[cell],
            )
        )
    return Plan(
        campaign=campaign.name,
        seed=seed,
        quick=quick,
        pairs=tuple(sorted(pairs)),
        cells=tuple(cells),
        trials=tuple(trials),
    )


def _add_twin(campaign: Campaign, cells: list[Cell], refusals: dict[str, Refusal | None]) -> None:
    """Put a twin behind the cell that the campaign runs against itself: of those it may mean, the first that can run."""
    meant = [cell for cell in cells if matches(cell.factors, campaign.noise.of)]
    can_run = [cell for cell in meant if refusals[cell.name] is None]
    original = (can_run or meant)[0]
    cells.insert(cells.index(original) + 1, twin(original))
    refusals[twin(original).name] = refusals[original.name]


def _lifted(data: Any) -> Any:
    """A stored plan as this version stores it. Version 1 had one way to say when a hybrid switches; 2 had no twins."""
    if isinstance(data, dict) and data.get("schema_version") == 1:
        data["schema_version"] = 2
        for cell in data.get("cells", ()):
            passes = cell["algorithm"].pop("switch_after_passes", 1)
            cell["algorithm"]["switch"] = {"after_passes": passes}
    if isinstance(data, dict) and data.get("schema_version") == 2:
        data["schema_version"] = 3
    return data


def _refusal(cell: Cell, pairs: Pairs) -> Refusal | None:
    """Why the lab cannot run the cell: the first pair's reason, named when there are several."""
    if not pairs:
        return first_refusal(cell, None, None)
    for pair, (first, second) in pairs.items():
        refusal = first_refusal(cell, first, second)
        if refusal is None:
            refusal = first_refusal(cell, second, first)
            if refusal is not None:
                refusal = Refusal(refusal.rule, f"{refusal.reason} (in reverse)")
        if refusal is not None:
            named = f"{pair}: {refusal.reason}" if len(pairs) > 1 else refusal.reason
            return Refusal(refusal.rule, named)
    return None
