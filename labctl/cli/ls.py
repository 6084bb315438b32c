"""`labctl ls`: the runs there are."""

from typing import TYPE_CHECKING, Any

from labctl.cli.console import out as stdout
from labctl.cli.console import say_json, tell
from labctl.cli.options import DEFAULT_OUT, JsonOption, OutOption, as_typed

if TYPE_CHECKING:
    from labctl.results import RunInfo


def ls(*, out: OutOption = DEFAULT_OUT, as_json: JsonOption = False) -> None:
    """List the runs, and what came of each."""
    from labctl.results import list_runs

    runs = list_runs(out)
    if as_json:
        say_json([described(run) for run in runs])
        return
    if not runs:
        from labctl.cli.run import quickstart

        tell(f"no run in {out}/ yet; to make one: {as_typed('labctl', 'run', quickstart())}")
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("run", no_wrap=True)
    table.add_column("started (UTC)", no_wrap=True)
    table.add_column("trials", justify="right", no_wrap=True)
    table.add_column("outcomes", overflow="fold")
    for run in runs:
        started = run.started.strftime("%Y-%m-%d %H:%M") if run.started else ""
        planned = "?" if run.planned is None else str(run.planned - run.unsupported)
        outcomes = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in run.outcomes.items())
        name = f"{run.name}  (latest)" if run.latest else run.name
        table.add_row(name, started, f"{run.finished} of {planned}", outcomes)
    stdout().print(table)


def described(run: "RunInfo") -> dict[str, Any]:
    """A run for a script. `trials` and `finished` count warm-ups; `trials` is null when the plan is unreadable."""
    return {
        "name": run.name,
        "path": str(run.path),
        "started": run.started.isoformat() if run.started else None,
        "latest": run.latest,
        "trials": run.planned,
        "unsupported": run.unsupported,
        "finished": run.finished,
        "outcomes": run.outcomes,
    }
