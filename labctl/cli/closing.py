"""What is told when a run has ended: the table, the plot, a sentence for what needs one, and where it all is."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from labctl.cli.console import brief, complain, live, out, say, say_prose, some, tell
from labctl.cli.options import DEFAULT_OUT, as_typed, near
from labctl.cli.root import INTERRUPTED, Settings

if TYPE_CHECKING:
    import pandas as pd

    from labctl.api import Result
    from labctl.results import Run

PLOT_WIDTH = 90
BAD = ("failed", "invalid_load")


def close_run(result: "Result", settings: Settings, *, go_on: str) -> int:
    """Tell of a run that has ended, or was ended; the exit status, which is that of the whole run."""
    from labctl.results import load_run

    run, summary = load_run(result.directory), result.summary
    frame = run.frame()
    left = left_of(run)
    to_go_on = f"{_trials(left)} left; to go on: {go_on}"
    results = frame[~frame["outcome"].isin(["unsupported"])]
    if summary.fault is not None:
        complain(str(summary.fault))
    if summary.interrupted:
        complain(f"interrupted: {final_line(results)}\n  {to_go_on}", bare=True)
        return INTERRUPTED
    report: Path | None = None
    if not settings.quiet and len(frame):
        tell("")
        show_results(frame)
        for sentence in sentences(run, frame):
            say_prose(sentence)
    if len(frame):
        from labctl.report.html import write_report

        report = write_report(run.path)
    if settings.quiet:
        say(f"{final_line(frame)}; {near(run.path)}")
    else:
        say(final_line(frame))
        for pair, fault in summary.aside.items():
            say(f"pair {pair} was set aside: {brief(str(fault))}")
        if left:
            say(to_go_on)
        if report is not None:
            say(f"report:  {near(report)}")
        say(f"results: {near(run.path)}")
    if summary.fault is not None:
        return summary.fault.exit_code
    cut_short = summary.left > 0  # not by --only, which is what was asked
    return 1 if cut_short or frame["outcome"].isin(BAD).any() else 0


def resume_command(run: str, out_dir: Path) -> str:
    """What goes on with a run, on its own lab."""
    words: list[str | Path] = ["labctl", "run", "--resume", run]
    words += ["--out", out_dir] if out_dir != DEFAULT_OUT else []
    return as_typed(*words)


def show_results(frame: "pd.DataFrame", *, plot: bool = True) -> None:
    """The results table, and the plot of every trial."""
    from rich.text import Text

    from labctl.report.terminal import results_table, terminal_plot

    console = out()
    console.print(results_table(frame, width=console.width))
    if not plot:
        return
    width = min(PLOT_WIDTH, console.width) if live(console) else PLOT_WIDTH
    colour = live(console) and not console.no_color
    console.print(Text.from_ansi(terminal_plot(frame, width=width, colour=colour)), soft_wrap=True)


def sentences(run: "Run", frame: "pd.DataFrame") -> Iterator[str]:
    """One sentence for each thing that a table does not say."""
    from labctl.report.about import caveats, saved, some_records

    yield from saved(run, frame)
    yield from _twins(frame)
    refused = frame[frame["outcome"] == "unsupported"]
    for rule, rows in refused.groupby("rule", observed=True):
        cells = some(map(str, rows["cell"]))
        reasons = "; ".join(dict.fromkeys(map(str, rows["reason"])))
        more = as_typed("labctl", "explain", str(rule))
        yield f"{_trials(len(rows))} unsupported ({cells}): {reasons} ({more})"
    for cell, rows in frame[frame["outcome"] == "invalid_load"].groupby("cell", observed=True):
        yield f"{_trials(len(rows))} of {cell} without a valid load: {brief(rows['reason'].iloc[-1])}"
    for row in frame[frame["outcome"] == "failed"].to_dict("records"):
        more = as_typed("labctl", "show", run.name, str(row["trial"]))
        yield f"trial {row['trial']} ({row['cell']}) failed: {brief(row['reason'])} ({more})"
    yield from caveats(some_records(run.trials()))


def _twins(frame: "pd.DataFrame") -> Iterator[str]:
    """What the table leaves out: the cell that was run against itself, and how far it lay apart."""
    from labctl.analysis.metrics import metric_named, with_derived
    from labctl.analysis.noise import floor
    from labctl.analysis.statistics import ENOUGH_FOR_MEDIAN

    done = frame[frame["outcome"] == "completed"]
    for cell in frame["twin_of"].dropna().unique():
        said = "too few completed trials to say more"
        if (done["twin_of"] == cell).sum() >= ENOUGH_FOR_MEDIAN:
            metrics = [metric_named(name) for name in ("total_time", "blackout")]
            found = [(metric, floor(with_derived(frame), metric)) for metric in metrics]
            apart = [
                f"{(ratio - 1) * 100:.1f} % in {m.title.lower()}" for m, ratio in found if ratio
            ]
            said = f"the two lie apart by at most {', '.join(apart)}" if apart else said
        yield f"noise: {cell} ran against a twin, which has no row in the table: {said}"


def finished(run: "Run") -> set[int]:
    """The numbers of the trials that have a result."""
    from labctl.results.layout import trial_folders

    return {folder.number for folder in trial_folders(run.path) if folder.attempt is None}


def left_of(run: "Run") -> int:
    """Trials of the plan that are still to be run."""
    return len(run.plan.left(finished(run)))


def final_line(frame: "pd.DataFrame") -> str:
    """The run in one line: `27 trials: 24 completed, 3 not converged`."""
    counted = Counter(frame["outcome"]).most_common()
    named = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counted)
    return f"{_trials(len(frame))}: {named}" if named else "no trial has a result"


def _trials(count: int) -> str:
    return f"{count} trial" if count == 1 else f"{count} trials"
