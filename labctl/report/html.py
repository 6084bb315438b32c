"""The report of one run or several: one HTML file that opens offline, and whose tables need no JavaScript."""

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from plotly.offline import get_plotlyjs

from labctl import __version__
from labctl.analysis import noise
from labctl.analysis.effects import Effects, effects
from labctl.analysis.frame import factors_of, together
from labctl.analysis.loads import over_loads
from labctl.analysis.metrics import METRICS, metric_named, with_derived
from labctl.analysis.properties import scorecard
from labctl.analysis.ranking import rankings
from labctl.errors import InputError
from labctl.report import about, pictures, scores, tables
from labctl.report.answer import answer
from labctl.report.numbers import within
from labctl.results import layout
from labctl.results.figures import FIGURES, MORE_FIGURES
from labctl.results.files import make_folder, replace_file, writing
from labctl.results.run import Run, Trials

MOST_RANKED = 2_000
"""cells that are ranked and given a scorecard; a run with more has its table of cells"""


def write_report(run_dir: str | Path | Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write the report of a run, or of several in one, to `out`; the path. Unless told, one run's is its own
    `report.html`, and several runs' stands beside the first.

    Raises:
        ResultsError: a run, or a file of it, cannot be read.
        LabctlError: the report cannot be written.
    """
    given = [run_dir] if isinstance(run_dir, str | Path) else run_dir
    runs = [Run(Path(each).resolve()) for each in given]
    first = runs[0].path
    usual = first / layout.REPORT if len(runs) == 1 else first.parent / layout.REPORT
    path = Path(out) if out is not None else usual
    page = report_html(runs)
    with writing(path):
        make_folder(path.parent)
        replace_file(path, page.encode())
    return path


def report_html(runs: Sequence[Run]) -> str:
    """The page's text."""
    frame = runs[0].frame() if len(runs) == 1 else together({run.name: run.frame() for run in runs})
    trials = Trials([trial.path for run in runs for trial in run.trials(warmups=False)])
    courses = list(pictures.courses(trials, several=len(runs) > 1))
    data: dict[str, Any] = {"results": pictures.points(frame), "courses": courses}
    here = files(__package__)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((here / "report.html.j2").read_text("utf-8"))
    return template.render(
        title=" and ".join(dict.fromkeys(run.plan.campaign for run in runs)),
        names=[run.name for run in runs],
        version=__version__,
        **_said(runs, frame, trials),
        **_scored(frame, runs),
        cells=tables.cell_table(frame),
        drawn_every=data["results"]["every"],
        trials=tables.trial_table(frame),
        not_completed=tables.not_completed(frame),
        left_out=max(0, len(trials) - len(courses)),
        courses=[(course["trial"], course["cell"], course["note"]) for course in courses],
        made=[_made(run) for run in runs],
        figures=[figure.column for figure in (*FIGURES, *MORE_FIGURES)],
        style=(here / "report.css").read_text("utf-8"),
        script=(here / "report.js").read_text("utf-8"),
        plotly=get_plotlyjs(),
        order={who: place for place, who in enumerate(data["results"]["algorithms"])},
        data=script_json(data),
    )


def _said(runs: Sequence[Run], frame: pd.DataFrame, trials: Trials) -> dict[str, Any]:
    planned = sum(not trial.warmup for run in runs for trial in run.plan.trials)
    records = about.some_records(trials)
    saved = about.saved(runs[0], frame) if len(runs) == 1 else ()
    return {
        "headline": [*about.headline(frame, planned), *saved],
        "caveats": about.caveats(records),
        "about": about.about(runs, records),
    }


def _scored(frame: pd.DataFrame, runs: Sequence[Run]) -> dict[str, Any]:
    """The answer, the scorecards, the ranking's turns and its map; empty where there is nothing to rank."""
    nothing: dict[str, Any] = {
        "answer": None,
        "scorecards": [],
        "turning": [],
        "maps": [],
        "spreads": [],
        "explained": [],
        "floors": [],
    }
    if not len(frame) or frame["cell"].nunique() > MOST_RANKED:
        return nothing
    derived, factors = with_derived(frame), factors_of(frame)
    found, cards = rankings(derived, factors), list(scorecard(derived, factors))
    return {
        "answer": answer(found, cards),
        "scorecards": scores.scorecards(cards, found),
        "turning": scores.turning(found),
        "maps": scores.maps(found, about.bandwidth(runs)),
        "spreads": scores.spread_over_loads(list(over_loads(derived, factors))),
        "explained": [scores.explained(each) for each in _explained(frame)],
        "floors": [
            (within(metric.title), f"{ratio - 1:.1%}")
            for metric in METRICS
            if (ratio := noise.floor(derived, metric)) is not None
        ],
    }  # fmt: skip


def _explained(frame: pd.DataFrame) -> Iterator[Effects]:
    """Which factor matters for the total time and for the blackout; nothing where one algorithm alone completed."""
    for name in ("total_time", "blackout"):
        with suppress(InputError):
            yield effects(frame, metric_named(name), ["algorithm", "transport", *factors_of(frame)])


def _made(run: Run) -> dict[str, Any]:
    """How a run was made, and what makes it again."""
    runs = [trial for trial in run.plan.trials if trial.supported and not trial.warmup]
    blocks = len({trial.block for trial in runs})
    warmups = sum(trial.warmup for trial in run.plan.trials)
    return {
        "name": run.name,
        "plan": f"{len(run.plan.cells)} cells in {blocks} blocks, {len(runs)} trials, {warmups} warm-up"
        f"{'' if warmups == 1 else 's'} first; seed {run.plan.seed}. Each block ran every cell once, in an order of its own.",
        "order": [(t.number, t.block, t.cell, t.direction) for t in runs[: tables.MOST_ROWS]],
        "command": shlex.join(["labctl", "run", f"{run.name}/{layout.CAMPAIGN}"]),
        "campaign": (run.path / layout.CAMPAIGN).read_text("utf-8", errors="replace"),
        "environment": list(about.flat(run.environment)),
    }  # fmt: skip


def script_json(data: Any) -> str:
    """JSON that can stand inside a script element, whatever its strings hold."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
