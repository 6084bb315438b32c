"""`labctl effects`: which factor of a campaign matters, and how much."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from labctl.cli.console import out as stdout
from labctl.cli.console import say_json, say_prose, some
from labctl.cli.options import DEFAULT_OUT, JsonOption, OutOption, RunArgument

if TYPE_CHECKING:
    from labctl.analysis.effects import Effects

MetricOption = Annotated[
    str, typer.Option("--metric", metavar="METRIC", help="What is to be explained.")
]


def effects(
    run: RunArgument = "latest",
    *,
    metric: MetricOption = "total_time",
    out: OutOption = DEFAULT_OUT,
    as_json: JsonOption = False,
) -> None:
    """Say which factor matters: the share of a figure's variation that each explains.

    On the logarithm of the figure, so a level's effect is what it multiplies it by. Of two factors together it says what their
    combination does beyond both.
    """
    from labctl.analysis.effects import effects as explained
    from labctl.analysis.frame import factors_of
    from labctl.analysis.metrics import NEEDED, metric_named
    from labctl.campaign.carriers import caveat
    from labctl.results import load_run

    frame = load_run(run, out).frame(columns=NEEDED)
    factors = ["algorithm", "transport", *factors_of(frame)]
    found = explained(frame, metric_named(metric), factors)
    said = caveat(frame["transport"].astype("str"))
    if as_json:
        say_json({**described(found), "caveat": said})
    else:
        _show(found)
        if said:
            say_prose(said)


def _show(found: "Effects") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    title = f"{found.metric.title}: what explains it, of {found.trials} completed trials"
    table = Table(
        title=title,
        title_justify="left",
        title_style="",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    table.add_column("factor")
    table.add_column("share", justify="right")
    table.add_column("each level multiplies it by", overflow="fold")
    for each in found.explained:
        levels = ", ".join(f"{level} {by:.3g}" for level, by in each.levels)
        table.add_row(each.name, f"{each.share:.1%}", levels)
    stdout().print(table)
    if found.left_out:
        say_prose(f"never completed, so left out: {some(found.left_out)}.")


def described(found: "Effects") -> dict[str, Any]:
    """For a script."""
    return {
        "metric": found.metric.column,
        "trials": found.trials,
        "explained": [
            {"factor": each.name, "share": each.share, "levels": dict(each.levels)}
            for each in found.explained
        ],
        "left_out": found.left_out,
    }
