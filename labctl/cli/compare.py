"""`labctl compare`: two runs, or two levels of a factor, and whether something became worse."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labctl.cli.console import out as stdout
from labctl.cli.console import say, say_json, say_prose, some
from labctl.cli.options import DEFAULT_OUT, JsonOption, OutOption, RunArgument, runs
from labctl.errors import InputError

if TYPE_CHECKING:
    from labctl.analysis.compare import Comparison, Completion
    from labctl.analysis.effect_size import Effect
    from labctl.analysis.metrics import Metric
    from labctl.results.environment import Difference

WORSE = 4
"""the exit status when a condition of --fail-if holds"""
SHOWN_DIFFERENCES = 12

OtherArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[B]", help="The run that is held against it.", autocompletion=runs
    ),
]  # fmt: skip
BetweenOption = Annotated[
    str | None,
    typer.Option(metavar="FACTOR=A,B", help="Instead of a second run: two levels of the one."),
]
ByOption = Annotated[
    str | None,
    typer.Option(metavar="FACTORS", help="Cells alike in these together: algorithm,transport."),
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="METRIC", help="What to compare; may be given again."),
]
FailIfOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-if", metavar="CONDITION", help="Exit 4 if it holds: 'blackout worsens by > 10%'."
    ),
]


def compare(
    a: RunArgument,
    b: OtherArgument = None,
    *,
    between: BetweenOption = None,
    by: ByOption = None,
    metric: MetricOption = None,
    fail_if: FailIfOption = None,
    out: OutOption = DEFAULT_OUT,
    as_json: JsonOption = False,
) -> None:
    """Compare two runs, or two levels of a factor, cell by cell.

    Each effect is a ratio with its 95 % interval; what lies inside the noise is no difference shown.

    Exit status: 0; 4 a condition of --fail-if holds; 2 bad input, or a condition that can be judged nowhere.
    """
    from labctl.analysis.compare import COMPARED, compare_levels, compare_runs
    from labctl.analysis.gate import Condition, all_failures
    from labctl.analysis.metrics import NEEDED, metric_named
    from labctl.results import load_run
    from labctl.results.environment import differences

    conditions = [Condition.parse(text) for text in fail_if or ()]
    metrics: Sequence[Metric] = [metric_named(name) for name in metric or ()] or COMPARED
    if more := [c.metric for c in conditions if c.metric and c.metric not in metrics]:
        metrics = [*metrics, *more]
    grouped = [name.strip() for name in by.split(",")] if by is not None else None
    first = load_run(a, out)
    environment: list[Difference] = []
    if between is not None:
        if b is not None:
            raise InputError("it goes with one run", place="--between", mend="leave out the second")
        factor, levels = _levels(between)
        found = compare_levels(first.frame(columns=NEEDED), factor, levels, metrics, grouped)
        names = (f"{factor} {levels[0]}", f"{factor} {levels[1]}")
    elif b is None:
        raise InputError(
            "compare with what?", mend="name a second run, or --between FACTOR=A,B within the one"
        )
    else:
        second = load_run(b, out)
        found = compare_runs(
            first.frame(columns=NEEDED), second.frame(columns=NEEDED), metrics, grouped
        )
        names = (first.name, second.name)
        environment = differences(first.environment, second.environment)
    held = list(all_failures(conditions, found))
    if as_json:
        say_json(described(names, found, environment, held))
    else:
        _show(names, found, environment)
        for condition, line in held:
            say_prose(f"{condition}: {line}")
        if conditions and not held:
            say(f"{'; '.join(c.text for c in conditions)}: no")
    if held:
        raise typer.Exit(WORSE)


def _levels(text: str) -> tuple[str, tuple[str, str]]:
    factor, _, rest = text.partition("=")
    levels = [level.strip() for level in rest.split(",")]
    if not factor or len(levels) != 2 or not all(levels):
        raise InputError(
            f"{text!r} does not name two levels of a factor",
            place="--between",
            mend="write it as in: --between algorithm=precopy,hybrid",
        )
    return factor.strip(), (levels[0], levels[1])


def _show(
    names: tuple[str, str], found: "Comparison", environment: "list[Difference]"
) -> None:  # fmt: skip
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    say(f"A  {names[0]}")
    say(f"B  {names[1]}")
    say("")
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("cell", overflow="fold")
    for head in ("figure", "A", "B", "B by A", "95 % interval"):
        table.add_column(head, no_wrap=True, justify="left" if head == "figure" else "right")
    table.add_column("verdict")
    where = None
    for effect in found.effects:
        if where is not None and effect.where != where:
            table.add_section()
        table.add_row(
            effect.where if effect.where != where else "",
            f"{effect.metric.title}, {effect.metric.unit}" if effect.metric.unit else effect.metric.title,
            *(_number(effect.metric, value) for value in (effect.a, effect.b)),
            _ratio(effect.ratio),
            f"{_ratio(effect.interval.low)} to {_ratio(effect.interval.high)}" if effect.interval else "",
            Text(said(effect), style=_STYLES.get(effect.verdict, "")),
        )  # fmt: skip
        where = effect.where
    stdout().print(table)
    say("")
    for sentence in sentences(found):
        say_prose(sentence)
    for difference in environment[:SHOWN_DIFFERENCES]:
        say_prose(f"environment: {difference.path}: {difference.left} / {difference.right}")
    if len(environment) > SHOWN_DIFFERENCES:
        say(f"environment: {len(environment) - SHOWN_DIFFERENCES} more differences (--json)")


_STYLES = {"worse": "red", "better": "green", "too few": "yellow"}


def said(effect: "Effect") -> str:
    """The verdict, and what it is limited by."""
    if effect.verdict == "too few":
        return f"too few ({effect.n}) to say"
    return f"{effect.verdict} (noise)" if effect.within_noise else effect.verdict


def sentences(found: "Comparison") -> list[str]:
    """What the table does not say: completion, noise, chance, cells that only one side has."""
    lines = [
        _completed(each) for each in found.completions if each.verdict != "no difference shown"
    ]
    judged = sum(effect.verdict != "too few" for effect in found.effects)
    if judged:
        chance = f"{judged * 0.05:.1f}".removesuffix(".0")
        lines.append(
            f"{judged} effects judged: of so many that are none, about {chance} would be shown by chance."
        )
    for column, ratio in found.floors.items():
        lines.append(f"noise floor: {column} of a cell against itself, up to {ratio - 1:.1%}.")
    if judged and not found.floors:
        lines.append(
            "no cell was run against itself (`noise: {aa: true}`): the intervals alone decide."
        )
    for side, cells in (("A", found.only_a), ("B", found.only_b)):
        if cells:
            lines.append(f"only {side} has {some(cells)}.")
    if found.caveat:
        lines.append(found.caveat)
    return lines  # fmt: skip


def _completed(each: "Completion") -> str:
    return f"{each.where}: {each.a[0]} of {each.a[1]} completed in A, {each.b[0]} of {each.b[1]} in B: {each.verdict}."


def _number(metric: "Metric", value: float) -> str:
    from labctl.report.numbers import shown

    return shown(metric, value)


def _ratio(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "inf"


def described(
    names: tuple[str, str],
    found: "Comparison",
    environment: "list[Difference]",
    held: list[tuple[str, str]],
) -> dict[str, Any]:
    """A comparison for a script; figures are in the units of the frame's columns."""
    return {
        "a": names[0],
        "b": names[1],
        "effects": [
            {
                "where": effect.where, "metric": effect.metric.column, "a": effect.a, "b": effect.b,
                "n": effect.n, "ratio": effect.ratio if math.isfinite(effect.ratio) else None,
                "interval": effect.interval, "verdict": effect.verdict,
                "within_noise": effect.within_noise,
            }
            for effect in found.effects
        ],
        "completions": [
            {
                "where": each.where, "a": each.a, "b": each.b, "interval": each.interval,
                "verdict": each.verdict,
            }
            for each in found.completions
        ],
        "only_a": found.only_a,
        "only_b": found.only_b,
        "noise_floors": found.floors,
        "caveat": found.caveat,
        "environment": [difference._asdict() for difference in environment],
        "failures": [{"condition": condition, "what": line} for condition, line in held],
    }  # fmt: skip
