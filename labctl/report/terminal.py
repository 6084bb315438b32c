"""A run in a terminal: one row a cell, and a plot of every trial."""

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from labctl.analysis.cells import who_columns
from labctl.analysis.frame import factors_of, summary
from labctl.analysis.metrics import METRICS, Metric
from labctl.analysis.statistics import ENOUGH_FOR_MEDIAN
from labctl.report.numbers import known, median_and_beside, outcomes, short
from labctl.results.schema import Outcome

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_BY_NAME = {metric.column: metric for metric in METRICS}
_TABLE = {
    "total_time_ms": "total\ntime, s",
    "blackout_ms": "blackout,\nms",
    "stall_max_ms": "longest\nstall, ms",
    "work_lost_s": "work\nlost, s",
    "wire_per_memory": "wire,\nx memory",
}
_EXPENDABLE = ("stall_max_ms", "wire_per_memory")
_PLOTS = ("blackout_ms", "total_time_ms")
_COLOURS = ("blue", "orange", "green", "magenta", "cyan", "red")
_LABEL_WIDTH = 44


def results_table(frame: pd.DataFrame, *, width: int = 100) -> "Table":
    """One row a cell: outcomes, and the median of each figure above its range.

    Where `width` columns are too few, the longest stall and then the wire are left out. Only
    completed trials are in the figures.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    rows: list[dict[str, Any]] = summary(frame).to_dict("records")  # type: ignore[assignment]
    names = [*who_columns(frame), *factors_of(frame)]
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        caption=_caption(frame),
        caption_justify="left",
    )
    for name in names:
        table.add_column(name.replace("_", " "), no_wrap=True)
    table.add_column("trials", min_width=9)
    columns = _columns_that_fit(rows, names, width)
    for column in columns:
        table.add_column(_TABLE[column], justify="right", no_wrap=True)
    previous = None
    for row in rows:
        if previous is not None and row["algorithm"] != previous:
            table.add_section()
        previous = row["algorithm"]
        cells = [Text(str(row[name])) for name in names]
        cells.append(Text(_trials(row), style=_style(row)))
        cells += [Text("\n").join(_figure(_BY_NAME[column], row)) for column in columns]
        table.add_row(*cells)
    return table


def _columns_that_fit(rows: list[dict[str, Any]], names: list[str], width: int) -> list[str]:
    columns = list(_TABLE)
    left = width - 11 - sum(2 + max(len(str(r[n])) for r in [*rows, {n: n}]) for n in names)
    widths = {
        column: 2
        + max(
            len(line)
            for line in _TABLE[column].split("\n")
            + [text.plain for row in rows for text in _figure(_BY_NAME[column], row)]
        )
        for column in columns
    }
    for column in _EXPENDABLE:
        if sum(widths[c] for c in columns) > left:
            columns.remove(column)
    return columns


def _figure(metric: Metric, row: dict[str, Any]) -> Iterator["Text"]:
    from rich.text import Text

    if metric.column == "total_time_ms" and known(row["outlasted_ms"]) and not row["completed"]:
        yield Text(f"> {short(row['outlasted_ms'] * metric.scale)}")
        return
    median, spread = median_and_beside(metric, row)
    yield Text(median, style="bold" if known(row[metric.column]) else "dim")
    if spread:
        yield Text(spread, style="dim")


def _trials(row: dict[str, Any]) -> str:
    """`3 of 3` where all completed; else what became of them."""
    if row["completed"] == row["trials"]:
        return f"{row['completed']} of {row['trials']}"
    return outcomes(row).replace(", ", "\n")


def _style(row: dict[str, Any]) -> str:
    if row["failed"] or row["invalid_load"]:
        return "red"
    return "yellow" if row["not_converged"] or row["unsupported"] else ""


def _caption(frame: pd.DataFrame) -> str:
    least = int(frame.groupby("cell", observed=True).size().min()) if len(frame) else 0
    if least >= ENOUGH_FOR_MEDIAN:
        return "median, and its 95 % interval below it, of the completed trials"
    return "median, and the range below it, of the completed trials; too few a cell for an interval"


def terminal_plot(frame: pd.DataFrame, *, width: int = 90, colour: bool = False) -> str:
    """Blackout and total time of every trial, one line a cell, on a logarithmic axis.

    A trial that was given up stands at the time it had lasted, as `>`. Without `colour` the text
    holds no control codes. Empty when no trial has a figure.
    """
    plots = [_plot(frame, _BY_NAME[column], width, colour) for column in _PLOTS]
    return "\n".join(plot for plot in plots if plot)


def _plot(frame: pd.DataFrame, metric: Metric, width: int, colour: bool) -> str:
    import plotext

    frame = frame[frame["outcome"] != Outcome.UNSUPPORTED]
    cells = list(dict.fromkeys(frame.sort_values("cell")["cell"]))
    points = list(_points(frame, metric, cells))
    if not points:
        return ""
    figure = plotext.figure
    figure.clear()
    plotext.terminal.limit(False, False)
    figure.theme("colorless")
    figure.plot_size(width, len(cells) + 4)
    figure.title(f"{metric.title}, {metric.unit}")
    for position, algorithm in enumerate(dict.fromkeys(frame.sort_values("cell")["algorithm"])):
        for given_up, sign in ((False, "●"), (True, ">")):
            chosen = [(x, y) for x, y, a, g in points if a == algorithm and g == given_up]
            if chosen:
                mark = (
                    plotext.colorize(sign, _COLOURS[position % len(_COLOURS)]) if colour else sign
                )
                figure.draw(figure.signal(*map(list, zip(*chosen, strict=True)), marker=mark))
    low, high = _axis(figure, [x for x, _, _, _ in points])
    figure.ruler("x").lim(low, high)
    figure.ruler("y").lim(0.5, len(cells) + 0.5)
    carriers = dict(zip(frame["cell"], frame["transport"], strict=True))
    labels = [_label(cell, carriers[cell]) for cell in reversed(cells)]
    figure.ruler("y").ticks(list(range(1, len(cells) + 1)), labels)
    text: str = figure.build().string(colorless=not colour)
    figure.clear()
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _points(
    frame: pd.DataFrame, metric: Metric, cells: list[str]
) -> Iterator[tuple[float, int, str, bool]]:
    """log10 of the value, line from below, algorithm, whether it was given up."""
    for row in frame.to_dict("records"):
        given_up = row["outcome"] == Outcome.NOT_CONVERGED
        if given_up and metric.column == "total_time_ms":
            value = row["wall_time_ms"]
        elif row["outcome"] == Outcome.COMPLETED:
            value = row[metric.column]
        else:
            continue
        if known(value) and value > 0:
            line = len(cells) - cells.index(row["cell"])
            yield math.log10(float(value) * metric.scale), line, str(row["algorithm"]), given_up


def _axis(figure: Any, values: Iterable[float]) -> tuple[float, float]:
    """Put ticks on the axis, the more of each decade the fewer there are; its ends, with room around the points."""
    values = list(values)
    low, high = min(values) - 0.1, max(values) + 0.1
    span = high - low
    steps = tuple(range(1, 10)) if span < 0.9 else (1, 2, 5) if span < 2 else (1,)
    decades = range(math.floor(low), math.ceil(high) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    inside = [tick for tick in ticks if low <= math.log10(tick) <= high]
    figure.ruler("x").ticks([math.log10(tick) for tick in inside], [f"{t:g}" for t in inside])
    return low, high


def _label(cell: str, carrier: str) -> str:
    """A cell's name, with what carries it; where that is too long its levels alone, which are what differs."""
    cell = cell.replace(f"transport={carrier.partition(' ')[0]}", f"transport={carrier}")
    if len(cell) > _LABEL_WIDTH:
        cell = ",".join(part.rpartition("=")[2] for part in cell.split(","))
    return cell if len(cell) <= _LABEL_WIDTH else f"{cell[: _LABEL_WIDTH - 1]}…"
