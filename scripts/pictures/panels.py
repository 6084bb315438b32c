"""A dashboard as one picture: each panel in its place, with what Prometheus answers to its queries."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.boards.answers import Asked, legend

COLUMN_IN, ROW_IN = 0.5, 0.3
"""of Grafana's grid, in inches"""
STYLE: Final[Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "labctl", "font.size": 7.5, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": "#e4e4e4", "axes.edgecolor": "#999999", "axes.titlesize": 8.5, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "legend.frameon": False, "legend.fontsize": 6.5, "lines.linewidth": 1.0, "path.simplify_threshold": 1.0,
}  # fmt: skip
COLOURS: Final = {
    "semi-dark-green": "#37872d", "semi-dark-blue": "#1f60c4", "semi-dark-red": "#c4162a", "semi-dark-orange": "#fa6400",
    "semi-dark-purple": "#8f3bb8", "transparent": "none",
}  # fmt: skip
UNITS: Final = {
    "s": (1e3, "ms"), "bytes": (2.0**-20, "MiB"), "binBps": (2.0**-20, "MiB/s"), "percentunit": (100.0, "%"), "pps": (1.0, "1/s"),
}  # fmt: skip
"""of Grafana, as factors and units here; seconds are ms below one"""
ROWS: Final = 5
"""of a table"""


def draw(board: dict[str, Any], asked: Asked, path: Path) -> None:
    """Draw a dashboard into an SVG file."""
    with mpl.rc_context(STYLE):
        places = [panel["gridPos"] for panel in board["panels"]]
        height = max(place["y"] + place["h"] for place in places)
        figure = Figure(figsize=(24 * COLUMN_IN, height * ROW_IN + 0.4), facecolor="white")
        figure.text(0.01, 1 - 0.15 / figure.get_figheight(), board["title"], size=12, va="top")
        for panel in board["panels"]:
            _panel(figure, panel, height, asked)
        figure.savefig(path, metadata={"Date": None}, bbox_inches="tight", pad_inches=0.1)
    text = path.read_text()
    path.write_text(re.sub(r"(\d+\.\d\d)\d+", r"\1", text))


def _panel(figure: Figure, panel: dict[str, Any], rows: int, asked: Asked) -> None:
    place, high = panel["gridPos"], figure.get_figheight()
    left, right = place["x"] / 24, (place["x"] + place["w"]) / 24
    top = (rows - place["y"]) * ROW_IN / high
    bottom = (rows - place["y"] - place["h"]) * ROW_IN / high
    if panel["type"] == "row":
        figure.text(
            left + 0.01, (top + bottom) / 2, panel["title"], size=9.5, weight="bold", va="center"
        )
        return
    if panel["type"] == "text":
        content = panel["options"]["content"].replace("**", "").replace("*", "").replace("`", "")
        figure.text(left + 0.01, top - 0.1 / high, textwrap.fill(content, 190), size=8, va="top")
        return
    wide = panel["type"] == "bargauge"
    inner = (
        left + (0.45 * (right - left) if wide else 0.05), bottom + 0.35 / high,
        (right - left) * 0.5 if wide else right - left - 0.065, top - bottom - 0.7 / high,
    )  # fmt: skip
    axes = figure.add_axes(inner)
    axes.set_title(panel["title"], x=-0.8 if wide else -0.035 * 24 / place["w"])
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(7 if place["w"] > 8 else 4))
    found = [
        (legend(target, series), series)
        for target in panel["targets"]
        for series in asked.answers(target)
    ]
    if found:
        _DRAWN[panel["type"]](axes, panel, found)
    else:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", color="#999999")


Found = list[tuple[str, dict[str, Any]]]


def _unit(panel: dict[str, Any], values: Sequence[float]) -> tuple[float, str]:
    """What to multiply values with, and their unit then."""
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")
    if unit == "s" and max((value for value in values if not isnan(value)), default=0.0) >= 1:
        return 1.0, "s"
    return UNITS.get(unit, (1.0, ""))


def _number(axes: Axes, panel: dict[str, Any], found: Found) -> None:
    axes.axis("off")
    values = [float(series["value"][1]) for _, series in found]
    factor, unit = _unit(panel, values)
    said = ", ".join(f"{value * factor:.4g} {unit}" for value in values)
    axes.text(0.5, 0.4, said, transform=axes.transAxes, size=17, ha="center", va="center")


def _curves(axes: Axes, panel: dict[str, Any], found: Found) -> None:
    curves = [(name, *_points(series)) for name, series in found]
    factor, unit = _unit(panel, [value for _, _, values in curves for value in values])
    axes.set_title(unit, loc="right", weight="normal", color="#777777", size=7.5)
    for name, times, values in curves:
        if name == "blackout":
            high = [value * axes.get_ylim()[1] for value in values]
            axes.fill_between(times, high, step="post", color="red", alpha=0.35, lw=0, label=name)
        else:
            axes.plot(times, [value * factor for value in values], label=name)
    axes.set_ylim(bottom=0)
    _clock(axes)
    if len(found) <= 12:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.11), ncol=6, handlelength=1)


def _bars(axes: Axes, panel: dict[str, Any], found: Found) -> None:
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.spines[["bottom"]].set_visible(False)
    rows = [(name, float(series["value"][1])) for name, series in sorted(found, key=_by_name)]
    factor, unit = _unit(panel, [value for _, value in rows])
    algorithms = list(dict.fromkeys(name.split()[0] for name, _ in rows))
    for place, (name, value) in enumerate(reversed(rows)):
        axes.barh(place, value, color=f"C{algorithms.index(name.split()[0]) % 10}", height=0.7)
        axes.text(value, place, f" {value * factor:.3g} {unit}", va="center", size=6.5)
    axes.set_yticks(
        range(len(rows)), [textwrap.shorten(n, 60) for n, _ in reversed(rows)], size=6.5
    )
    axes.set_xlim(0, max((value for _, value in rows if not isnan(value)), default=1) * 1.3 or 1)


def _by_name(one: tuple[str, dict[str, Any]]) -> tuple[str, str]:
    return one[0].partition(" ")[2], one[0]


def _states(axes: Axes, panel: dict[str, Any], found: Found) -> None:
    known = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    colours = {int(value): COLOURS.get(of["color"], of["color"]) for value, of in known.items()}
    axes.grid(visible=False)
    for place, (_, series) in enumerate(reversed(found)):
        for begin, end, value in _stretches(series):
            if value:
                axes.broken_barh(
                    [(begin, end - begin)], (place - 0.4, 0.8), color=colours[value], lw=0
                )
    axes.set_yticks(range(len(found)), [name for name, _ in reversed(found)])
    if len(found) < 3:  # the colours say what is not written beside the lines
        handles = [
            mpl.patches.Patch(color=colours[int(v)], label=of["text"])
            for v, of in known.items()
            if of["text"]
        ]
        axes.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.12),
            ncol=10,
            handlelength=1,
        )
    _clock(axes)


def _stretches(series: dict[str, Any]) -> Iterator[tuple[float, float, int]]:
    times, values = _points(series)
    begin = 0
    for place in range(1, len(values) + 1):
        if place == len(values) or values[place] != values[begin]:
            yield times[begin], times[min(place, len(times) - 1)], int(values[begin])
            begin = place


def _table(axes: Axes, _panel: dict[str, Any], found: Found) -> None:
    axes.axis("off")
    both: dict[tuple[str, ...], list[str]] = {}
    labels = ("trial", "pair", "cell", "source", "destination")
    for _, series in found:
        row = tuple(series["metric"].get(label, "") for label in labels)
        moment = datetime.fromtimestamp(float(series["value"][1]) / 1e3, UTC)
        both.setdefault(row, []).append(f"{moment:%H:%M:%S}")
    newest = sorted(both, key=lambda row: -int(row[0]))[:ROWS]
    cells = [[*row, *both[row]] for row in newest]
    if cells:
        drawn = axes.table(
            cells,
            colLabels=[*labels, "began", "ended"],
            loc="center",
            cellLoc="left",
            edges="horizontal",
        )
        drawn.auto_set_font_size(False)
        drawn.scale(1, 1.1)


def _points(series: dict[str, Any]) -> tuple[list[float], list[float]]:
    return [float(t) for t, _ in series["values"]], [float(v) for _, v in series["values"]]


def _clock(axes: Axes) -> None:
    """Times of day; within some seconds, with their tenths."""
    low, high = axes.get_xlim()
    length = len("00:00:00") if high - low > 60 else len("00:00:00.0")
    axes.xaxis.set_major_formatter(
        lambda t, _: f"{datetime.fromtimestamp(t, UTC):%H:%M:%S.%f}"[:length]
    )


_DRAWN: Final = {
    "stat": _number,
    "timeseries": _curves,
    "bargauge": _bars,
    "state-timeline": _states,
    "table": _table,
}
