"""`labctl plan`: every trial of a campaign, in the order it would run."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from labctl.cli.console import err, live, out, say_json, say_prose, some
from labctl.cli.options import (
    FileArgument,
    JsonOption,
    LabOption,
    QuickOption,
    as_typed,
    may_ask,
)
from labctl.monitoring.pace import clock

if TYPE_CHECKING:
    from labctl.campaign import Campaign, Plan, PlannedTrial, RepetitionsSpec

OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Ask no lab: only rules that need none are tried.")
]


def plan(
    file: FileArgument,
    *,
    quick: QuickOption = False,
    offline: OfflineOption = False,
    lab: LabOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every trial of a campaign, in order.

    Says which are unsupported, and why, and how long it will take. The lab is asked what its QEMUs can do; nothing is run and nothing written.
    """
    from labctl.campaign import load_campaign

    campaign = load_campaign(file)
    if not offline:
        may_ask(lab or campaign.lab)
    found = ask_plan(campaign, lab, quick=quick, offline=offline)
    if as_json:
        say_json({**found.model_dump(mode="json"), "estimate_s": found.estimate_s})
    else:
        show_plan(campaign, found)


def ask_plan(
    campaign: "Campaign", lab: str | None, *, quick: bool = False, offline: bool = False
) -> "Plan":
    """The plan, as the lab allows it; says on a terminal that this takes a while."""
    from labctl import api

    console = err()
    if offline or not live(console):
        return api.plan(campaign, lab=lab, quick=quick, offline=offline)
    with console.status("asking the lab what its QEMUs can do"):
        return api.plan(campaign, lab=lab, quick=quick)


def show_plan(
    campaign: "Campaign", plan: "Plan", wanted: "Callable[[PlannedTrial], bool] | None" = None
) -> None:
    """Print a plan, or the trials of it that are wanted."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    trials = [trial for trial in plan.trials if wanted is None or wanted(trial)]
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("trial", justify="right")
    table.add_column("block", justify="right")
    table.add_column("cell", overflow="fold")
    table.add_column("direction")
    table.add_column("about", justify="right")
    for trial in trials:
        block = f"warm-up {trial.pair or ''}".rstrip() if trial.warmup else str(trial.block)
        takes = Text(f"{trial.estimate_s:.1f} s" if trial.supported else "unsupported")
        style = "dim" if trial.warmup else "" if trial.supported else "yellow"
        table.add_row(str(trial.number), block, trial.cell, trial.direction, takes, style=style)
    out().print(table)
    out().print()
    for line in summary(campaign, plan, trials):
        say_prose(line)


def summary(campaign: "Campaign", plan: "Plan", trials: "list[PlannedTrial]") -> list[str]:
    """A plan in sentences: what runs, what does not and why, how long it takes."""
    from labctl.campaign import at_most_s, estimate_run_s
    from labctl.campaign.carriers import caveat

    adaptive = None if plan.quick else campaign.adaptive
    runs = [trial for trial in trials if trial.supported]
    warmups = sum(trial.warmup for trial in runs)
    blocks = len({trial.block for trial in runs if not trial.warmup})
    size = f"{_count(len(plan.cells), 'cell')}, {_count(len(runs) - warmups, 'trial')}"
    lines = [f"{campaign.name}: {size} in {_count(blocks, 'block')}, seed {plan.seed}"]
    if adaptive is not None:
        lines.append(_until(adaptive))
    if warmups:
        lines.append(f"{_count(warmups, 'warm-up')} first, left out of the results")
    refused: dict[tuple[str, str], list[PlannedTrial]] = {}
    for trial in trials:
        if not trial.supported:
            refused.setdefault((str(trial.rule), str(trial.reason)), []).append(trial)
    for (rule, reason), which in refused.items():
        cells = some(trial.cell for trial in which)
        lines += [
            f"{_count(len(which), 'trial')} unsupported: {cells}",
            f"  {rule}: {reason} ({as_typed('labctl', 'explain', rule)})",
        ]
    if said := caveat(cell.carrier for cell in plan.cells):
        lines.append(said)
    estimate_s = estimate_run_s(runs, plan.pairs)
    takes = f"about {clock(estimate_s)} in all"
    if adaptive is not None:
        most_s = max(0.0, at_most_s(plan, adaptive) - plan.estimate_s)
        takes = f"about {clock(estimate_s)} for these, and at most {clock(most_s)} more"
    if len(plan.pairs) < 2:
        return [*lines, takes]
    return [*lines, f"{takes} on {len(plan.pairs)} pairs", *_idle(blocks, len(plan.pairs))]


def _until(rule: "RepetitionsSpec") -> str:
    """An adaptive campaign's rule in words."""
    of = " and of ".join(metric.replace("_", " ") for metric in rule.until.of)
    share = f"{rule.until.relative_interval * 100:g} %"
    until = f"half the 95 % interval of {of} is within {share} of its median"
    return f"{_count(rule.min, 'block')} at first, up to {rule.max}, until {until}"


def _idle(blocks: int, pairs: int) -> Iterator[str]:
    """What is said where the last round of whole blocks leaves pairs without one."""
    if idle := -blocks % pairs:
        yield (
            f"{_count(blocks, 'block')} over {pairs} pairs, whole ones so that no pair stands for a cell: the last round "
            f"leaves {_count(idle, 'pair')} idle, a multiple of {pairs} repetitions would not"
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
