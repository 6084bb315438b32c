"""A run's pictures for a paper: PDF and SVG, each metric's points and intervals, and the time course of one trial."""

import math
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from labctl.errors import InputError
from labctl.report import pictures
from labctl.results.files import make_folder, replace_file, writing
from labctl.results.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS: Final = ("pdf", "svg")
COLUMN_INCHES: Final = 3.5
"""the width of a column of two in a paper"""
MOST_UPRIGHT: Final = 8
"""loads whose levels stand under each other; more are written slantwise"""
COLOURS: Final = (
    "#2f6db5",
    "#d9822b",
    "#2a8f6f",
    "#a24c86",
    "#8a7a1f",
    "#5b5fc7",
    "#b3423a",
    "#66757f",
)
_MARKERS: Final = "osD^vPX*"
_PHASES: Final = {
    "precopy": ("#2f6db5", 0.1),
    "blackout": ("#1d2327", 0.3),
    "postcopy": ("#d9822b", 0.14),
}
_STYLE: Final[dict[Any, Any]] = {
    "font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.grid.axis": "y",
    "grid.color": "#dfe2e0", "grid.linewidth": 0.6, "axes.axisbelow": True, "lines.linewidth": 1.0,
    "svg.fonttype": "none", "svg.hashsalt": "labctl", "pdf.fonttype": 42,
}  # fmt: skip
"""Text stays text, and the same run gives the same bytes."""


def write_figures(run: Run, folder: Path, *, trial: int | None = None) -> list[Path]:
    """Write every figure of a run into a folder, in each of FORMATS; their paths. The time course is that of `trial`; unless
    told, of the first trial whose guest worked and was switched over.

    Raises:
        InputError: the trial has no result, or its migration never began.
        LabctlError: they cannot be written.
    """
    from matplotlib import rc_context

    paths = []
    with writing(folder):
        make_folder(folder)
        with rc_context(_STYLE):
            for name, figure in _figures(run, trial):
                for form in FORMATS:
                    path = folder / f"{name}.{form}"
                    replace_file(path, _bytes(figure, form))
                    paths.append(path)
    return paths


def _bytes(figure: "Figure", form: str) -> bytes:
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}[form]
    data = BytesIO()
    figure.savefig(data, format=form, bbox_inches="tight", metadata=undated)
    return data.getvalue()


def _figures(run: Run, trial: int | None) -> Iterator[tuple[str, "Figure"]]:
    data = pictures.points(run.frame())
    for metric in data["metrics"]:
        name = metric["title"].lower().replace(" ", "-")
        yield name, _intervals(metric, data)
    course = _course(run, trial)
    if course is not None:
        yield f"time-course-{course['trial']}", _time_course(course)


def _course(run: Run, wanted: int | None) -> dict[str, Any] | None:
    if wanted is not None:
        found = next(pictures.courses([run.trial(wanted)]), None)
        if found is None:
            raise InputError(
                f"the migration of trial {wanted} never began", place="--trial", mend="name another"
            )
        return found
    first = None
    for trial in run.trials(warmups=False):
        course = next(pictures.courses([trial]), None)
        first = first or course
        if (
            course
            and not course["work_is_beats"]
            and any(p["name"] == "blackout" for p in course["phases"])
        ):
            return course
    return first


def _intervals(metric: dict[str, Any], data: dict[str, Any]) -> "Figure":
    """Every trial a point, every cell a bar at its median with the interval of that; open triangles were given up."""
    from matplotlib.figure import Figure

    algorithms, loads = data["algorithms"], data["loads"]
    width = COLUMN_INCHES * min(2.0, max(1.0, len(loads) * len(algorithms) / 12))
    figure = Figure(figsize=(width, 2.3))
    axes = figure.subplots()
    for place, who in enumerate(algorithms):
        offset = (place - (len(algorithms) - 1) / 2) * 0.72 / len(algorithms)
        _draw_points(axes, metric, who, place, offset, 0.3 / len(algorithms))
        _draw_middles(axes, metric, who, place, offset, 0.3 / len(algorithms))
    values = [point["value"] for point in metric["points"]]
    if min(values) > 0 and max(values) / min(values) > 20:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    if len(loads) <= MOST_UPRIGHT:
        axes.set_xticks(range(len(loads)), ["\n".join(load) for load in loads])
    else:
        axes.set_xticks(range(len(loads)), map(", ".join, loads), rotation=30, ha="right")
    axes.set_xlabel(data["factors"])
    axes.set_ylabel(f"{metric['title']}, {metric['unit']}")
    axes.legend(
        fontsize=7,
        frameon=False,
        ncols=min(3, len(algorithms)),
        loc="lower left",
        bbox_to_anchor=(0, 1),
    )
    return figure


def _draw_points(
    axes: "Axes", metric: dict[str, Any], who: str, place: int, offset: float, half: float
) -> None:
    groups: dict[int, list[dict[str, Any]]] = {}
    for point in metric["points"]:
        if point["algorithm"] == who:
            groups.setdefault(point["load"], []).append(point)
    colour, marker = COLOURS[place % len(COLOURS)], _MARKERS[place % len(_MARKERS)]
    label: str | None = who
    for load, group in groups.items():
        step = min(0.05, half / len(group))
        for given_up in (False, True):
            chosen = [(n, p["value"]) for n, p in enumerate(group) if p["given_up"] == given_up]
            if chosen:
                axes.plot(
                    [load + offset + (n - (len(group) - 1) / 2) * step for n, _ in chosen],
                    [value for _, value in chosen],
                    "^" if given_up else marker, ms=3, color=colour, alpha=0.7, label=label,
                    fillstyle="none" if given_up else "full",
                )  # fmt: skip
                label = None


def _draw_middles(
    axes: "Axes", metric: dict[str, Any], who: str, place: int, offset: float, half: float
) -> None:
    for cell in metric["middles"]:
        if cell["algorithm"] != who:
            continue
        at = cell["load"] + offset
        axes.hlines(
            cell["median"], at - half, at + half, color=COLOURS[place % len(COLOURS)], lw=1.6
        )
        if cell["interval"]:
            low, high = cell["interval"]
            ends = [[cell["median"] - low], [high - cell["median"]]]
            axes.errorbar(
                [at],
                [cell["median"]],
                ends,
                fmt="none",
                ecolor="#1d2327",
                elinewidth=0.7,
                capsize=1.5,
            )


def _time_course(course: dict[str, Any]) -> "Figure":
    """The guest's work, remaining memory and bandwidth of one trial on its own time axis, phases shaded."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2 * COLUMN_INCHES, 4.0))
    panels = figure.subplots(3, sharex=True)
    work = "guest's beats, 1/s" if course["work_is_beats"] else "guest's work, MiB/s"
    rows = (
        (work, "work", 2),
        ("remaining, MiB", "remaining", 5),
        ("on the wire, Mbit/s", "wire", 0),
    )
    times = [course["t0_s"] + (n + 0.5) * course["dt_s"] for n in range(len(course["work"]))]
    for axes, (title, key, colour) in zip(panels, rows, strict=True):
        values = [math.nan if value is None else value for value in course[key]]
        axes.plot(
            times,
            values,
            color=COLOURS[colour],
            drawstyle="steps-mid" if key != "remaining" else None,
        )
        axes.set_ylabel(title)
        axes.set_ylim(bottom=0)
        for phase in course["phases"]:
            tint, alpha = _PHASES[phase["name"]]
            axes.axvspan(phase["from_s"], phase["to_s"], color=tint, alpha=alpha, lw=0)
    if course["link_mbit_per_s"]:
        panels[2].axhline(course["link_mbit_per_s"], color="#5c666d", lw=0.7, ls="--")
    panels[2].set_xlabel("s since migrate")
    panels[0].set_title(f"trial {course['trial']}: {course['cell']}", fontsize=8, loc="left")
    return figure
