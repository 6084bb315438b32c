"""`labctl watch`: a run in the terminal, from another process than the one that conducts it."""

import time
from collections.abc import Iterable, Sequence
from math import isnan
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from labctl.cli.console import live, say_json
from labctl.cli.console import out as stdout
from labctl.cli.options import DEFAULT_OUT, JsonOption, OutOption, RunArgument

if TYPE_CHECKING:
    from rich.console import RenderableType

    from labctl.monitoring.cells import CellTrials
    from labctl.monitoring.following import Follower
    from labctl.monitoring.standing import Flight

OnceOption = Annotated[bool, typer.Option("--once", help="Show how it stands now, and end.")]
_LOOKS_PER_S: Final = 4
_CURVE: Final = 40
_FIGURES: Final = ("trials", "completed", "total time", "blackout", "work lost", "wire/memory")
_BLOCKS: Final = "▁▂▃▄▅▆▇█"


def watch(
    run: RunArgument = "latest",
    *,
    once: OnceOption = False,
    out: OutOption = DEFAULT_OUT,
    as_json: JsonOption = False,
) -> None:
    """Watch a run: what runs now, the guest's work and the memory still to send, results so far.

    Ends with the run, or by Ctrl-C, which does nothing to the run. Where there is no terminal it shows once how it stands.
    """
    from labctl.monitoring.following import Follower
    from labctl.results import load_run

    follower = Follower(load_run(run, out))
    follower.look()
    if as_json:
        say_json(_described(follower))
        return
    console = stdout()
    if once or not live(console) or not follower.standing.running:
        console.print(page(follower))
        return
    from rich.live import Live

    with Live(page(follower), console=console, auto_refresh=False) as shown:
        while follower.standing.running:
            time.sleep(1 / _LOOKS_PER_S)
            follower.look()
            shown.update(page(follower), refresh=True)


def curve(values: Sequence[float], width: int = _CURVE) -> str:
    """The newest values as blocks, from 0 to the largest of them."""
    newest = values[-width:]
    most = max(newest, default=0.0) or 1.0
    return "".join(_BLOCKS[min(7, int(max(0.0, value) / most * 8))] for value in newest)


def page(follower: "Follower") -> "RenderableType":
    """How a run stands, for a terminal."""
    from rich.console import Group
    from rich.text import Text

    standing, now_s = follower.standing, time.time()
    flights = sorted(standing.flights.values(), key=lambda flight: flight.pair)
    parts: list[RenderableType] = [_head(follower, now_s)]
    for flight in flights:
        parts += [Text(), *_flight(follower, flight, now_s)]
    if standing.cells:
        parts += [Text(), *_results(follower)]
    return Group(*parts)


def _head(follower: "Follower", now_s: float) -> "RenderableType":
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    from labctl.monitoring.pace import clock

    standing = follower.standing
    done = standing.planned - standing.left
    if standing.running:
        how = f"{standing.left} left, about {clock(standing.left_s(now_s))}"
    else:
        how = "done" if not standing.left else f"not running, {standing.left} left"
    share = standing.share(now_s) if standing.running else done / max(1, standing.planned)
    head = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=1.0, completed=share, width=30)
    head.add_row(standing.run, f"{done} of {standing.planned} trials", bar, how)
    return head


def _flight(follower: "Follower", flight: "Flight", now_s: float) -> "Iterable[RenderableType]":
    from rich.text import Text

    now = follower.now.get(flight.number)
    line = Text(f"{flight.number:4d}  {flight.pair}  {flight.which.cell}  ")
    line.append(flight.phase or "begins", "cyan")
    line.append(f", {now_s - flight.since_s:.0f} s", "dim")
    yield line
    if now is None:
        return
    work, left = list(now.work_bytes_per_s), list(now.remaining_bytes)
    if work:
        yield _curve("guest writes", work, f"{work[-1] / 2**20:.0f} MiB/s")
    if left:
        said = f"{left[-1] / 2**20:.0f} MiB"
        passes = flight.progress.passes if flight.progress else 0
        yield _curve("still to send", left, f"{said}, pass {passes}" if passes > 1 else said)
    if flight.guest is not None and flight.guest.blackout_s is not None:
        yield Text(f"      {'blackout':14}{flight.guest.blackout_s * 1e3:.0f} ms")


def _curve(name: str, values: Sequence[float], said: str) -> "RenderableType":
    from rich.text import Text

    line = Text(f"      {name:14}")
    line.append(curve(values).rjust(_CURVE), "green")
    line.append(f"  {said}")
    return line


def _results(follower: "Follower") -> "Iterable[RenderableType]":
    """A table of columns alike for each load, under it."""
    from rich.table import Table
    from rich.text import Text

    by_load = follower.standing.by_load
    named = {(load, *which): ", ".join(which) for load, of in by_load.items() for which in of}
    width = max(len("results so far, medians"), *(len(name) + 2 for name in named.values()))

    def table(*rows: Sequence[str], style: str = "") -> Table:
        made = Table.grid(padding=(0, 2))
        made.add_column(width=width, no_wrap=True)
        for _ in _FIGURES:
            made.add_column(width=11, justify="right", no_wrap=True)
        for row in rows:
            made.add_row(*row, style=style)
        return made

    yield table(["results so far, medians", *_FIGURES], style="dim")
    for load, cells in by_load.items():
        if load:
            yield Text(load, "bold")
        indent = "  " if load else ""
        rows = [[indent + named[load, *which], *_figures(cell)] for which, cell in cells.items()]
        yield table(*rows)


def _figures(cell: "CellTrials") -> Iterable[str]:
    scores = cell.score()
    yield str(len(cell))
    yield _known(scores["completed_ratio"] * 100, " %")
    yield _known(scores["total_time_seconds"], " s")
    yield _known(scores["blackout_seconds"] * 1e3, " ms")
    yield _known(scores["service_lost_seconds"], " s")
    yield _known(scores["wire_per_memory_ratio"], "")


def _known(value: float, unit: str) -> str:
    return "-" if isnan(value) else f"{value:.3g}{unit}"


def _described(follower: "Follower") -> dict[str, Any]:
    """For a script."""
    standing, now_s = follower.standing, time.time()
    return {
        "run": standing.run,
        "running": standing.running,
        "planned": standing.planned,
        "left": standing.left,
        "left_s": standing.left_s(now_s),
        "trials": [
            {
                "number": flight.number,
                "pair": flight.pair,
                "cell": flight.which.cell,
                "phase": flight.phase,
                "elapsed_s": now_s - flight.since_s,
                "remaining_bytes": flight.progress.remaining_bytes if flight.progress else None,
                "work_bytes_per_s": flight.guest.work_bytes_per_s if flight.guest else None,
            }
            for flight in standing.flights.values()
        ],
        "outcomes": [
            {"outcome": outcome, "algorithm": algorithm, "transport": transport, "trials": count}
            for (outcome, algorithm, transport), count in standing.outcomes.items()
        ],
        "cells": [
            {
                "algorithm": algorithm,
                "transport": transport,
                "load": load,
                "trials": len(cell),
                **{name: None if isnan(value) else value for name, value in cell.score().items()},
            }
            for load, cells in standing.by_load.items()
            for (algorithm, transport), cell in cells.items()
        ],
    }
