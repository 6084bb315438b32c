"""A plan that grows: blocks behind its last one, for cells that need more repetitions.

Nothing here looks at a result. Which cells go on is told; the block that they make follows from the plan alone, by the rule by
which all its blocks were made. So a plan that was interrupted can be made again, and grown again, to what it was.
"""

from collections.abc import Collection

from labctl.campaign.blocks import block_of
from labctl.campaign.cells import expand
from labctl.campaign.estimate import estimate_run_s
from labctl.campaign.models import Campaign
from labctl.campaign.plan import Plan
from labctl.campaign.repetitions import RepetitionsSpec


def grown(
    plan: Plan, campaign: Campaign, cells: Collection[str], blocks: int, used: Collection[int] = ()
) -> Plan:
    """The plan with so many more blocks of these cells; the same plan where the campaign's rule allows none.

    A twin comes along with the cell that it repeats. A cell that the campaign has no more, and whose results the plan keeps, does
    not go on. Numbers go on behind those of the plan and those `used` on disk.
    """
    rule, last = campaign.adaptive, last_block(plan)
    on = {cell.name for cell in expand(campaign)}.intersection(cells)
    if campaign.noise.aa:
        on |= {cell.name for cell in plan.cells if cell.twin_of in on}
    if rule is None or plan.quick or not on:
        return plan
    for block in range(last + 1, min(last + blocks, rule.max) + 1):
        plan = with_block(plan, block, on, used)
    return plan


def regrown(plan: Plan, campaign: Campaign, old: Plan) -> Plan:
    """A plan that was made anew, with the blocks that its stored self had grown by, of the same cells."""
    rule = campaign.adaptive
    if rule is None or plan.quick:
        return plan
    had: dict[int, list[str]] = {}
    for trial in old.trials:
        had.setdefault(trial.block, []).append(trial.cell)
    for block in range(last_block(plan) + 1, min(max(had, default=0), rule.max) + 1):
        plan = with_block(plan, block, had.get(block, ()))
    return plan


def with_block(plan: Plan, block: int, cells: Collection[str], used: Collection[int] = ()) -> Plan:
    """The plan with one more block behind the others: those of these cells that it has, and can run."""
    refused = {trial.cell for trial in plan.trials if not trial.supported}
    like = {t.cell: t for t in plan.trials if not t.warmup and t.cell not in refused}
    number = max([0, *used, *(trial.number for trial in plan.trials)]) + 1
    made = block_of(plan.seed, block, len(plan.pairs), (cell for cell in like if cell in cells))
    new = [
        like[cell].model_copy(update={"number": n, "block": block, "direction": way})
        for n, (cell, way) in enumerate(made, start=number)
    ]
    return plan.model_copy(update={"trials": (*plan.trials, *new)})


def last_block(plan: Plan) -> int:
    """The number of the plan's last block; 0 where it has none but warm-ups."""
    return max((trial.block for trial in plan.trials), default=0)


def at_most_s(plan: Plan, rule: RepetitionsSpec) -> float:
    """How long the plan and all that it may grow by take over its pairs, if no cell is ever settled."""
    whole_s = sum({t.cell: t.estimate_s for t in plan.trials if not t.warmup}.values())
    further_s = [whole_s] * max(0, rule.max - last_block(plan))
    return estimate_run_s(plan.trials, plan.pairs, further_s)
