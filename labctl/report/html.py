"""The report of a run: one HTML file that opens offline, and whose tables need no JavaScript."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from plotly.offline import get_plotlyjs

from labctl import __version__
from labctl.report import content
from labctl.results import layout
from labctl.results.figures import FIGURES, MORE_FIGURES
from labctl.results.files import make_folder, replace_file, writing
from labctl.results.run import Run


def write_report(run_dir: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a run to `out` (its own `report.html`); the path.

    Raises:
        ResultsError: the run, or a file of it, cannot be read.
        LabctlError: the report cannot be written.
    """
    run = Run(Path(run_dir).resolve())
    path = Path(out) if out is not None else run.path / layout.REPORT
    page = report_html(run)
    with writing(path):
        make_folder(path.parent)
        replace_file(path, page.encode())
    return path


def report_html(run: Run) -> str:
    """The page's text."""
    frame = run.frame()
    planned = [trial for trial in run.plan.trials if not trial.warmup]
    trials = [trial for trial in run.trials() if not trial.record.warmup]
    records = [trial.record for trial in trials]
    courses = list(content.courses(trials))
    data = {"results": content.points(frame), "courses": courses}
    here = files(__package__)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((here / "report.html.j2").read_text("utf-8"))
    return template.render(
        run=run,
        version=__version__,
        headline=content.headline(frame, len(planned)),
        caveats=content.caveats(records),
        about=content.about(run, records),
        cells=content.cell_table(frame),
        trials=content.trial_table(frame),
        not_completed=content.not_completed(frame),
        left_out=max(0, len(trials) - content.MOST_COURSES),
        courses=[(course["trial"], course["cell"], course["note"]) for course in courses],
        warmups=len(run.plan.trials) - len(planned),
        environment=list(content.flat(run.environment)),
        campaign=(run.path / layout.CAMPAIGN).read_text("utf-8", errors="replace"),
        figures=[figure.column for figure in (*FIGURES, *MORE_FIGURES)],
        style=(here / "report.css").read_text("utf-8"),
        script=(here / "report.js").read_text("utf-8"),
        plotly=get_plotlyjs(),
        data=script_json(data),
    )


def script_json(data: Any) -> str:
    """JSON that can stand inside a script element, whatever its strings hold."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
