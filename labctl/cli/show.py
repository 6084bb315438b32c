"""`labctl show`: a run, or one trial of it."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labctl.cli.closing import final_line, finished, left_of, resume_command, sentences
from labctl.cli.console import out as stdout
from labctl.cli.console import say, say_json, say_prose
from labctl.cli.options import DEFAULT_OUT, JsonOption, OutOption, RunArgument, near, settings
from labctl.cli.progress import STYLES
from labctl.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from labctl.results import Run, Trial, TrialRecord

TrialArgument = Annotated[
    str | None, typer.Argument(metavar="TRIAL", help="A trial's number, or its name.")
]


def show(
    ctx: typer.Context,
    run: RunArgument = "latest",
    trial: TrialArgument = None,
    *,
    out: OutOption = DEFAULT_OUT,
    as_json: JsonOption = False,
) -> None:
    """Show what happened in a run, or in one trial.

    With -v, a trial's figures come with their definitions, and with the figures behind them.
    --json prints the run's facts, or the trial's record (trial.json) as it is stored.
    """
    from labctl.results import load_run

    stored = load_run(run, out)
    if trial is not None:
        chosen = stored.trial(_number(trial))
        if as_json:
            say_json(chosen.record.model_dump(mode="json"))
        else:
            _show_trial(stored, chosen)
            _show_figures(chosen, whole=settings(ctx).verbosity > 0)
        return
    frame = stored.frame(warmups=True)
    if as_json:
        say_json(_described(stored, frame))
        return
    _show_run(stored, frame)
    if left := left_of(stored):
        out_dir = out if (out / stored.name).exists() else stored.path.parent
        say(f"{left} left; to go on: {resume_command(stored.name, out_dir)}")


def _number(trial: str) -> int:
    number = trial.partition("-")[0]
    if not number.isdigit():
        raise InputError(
            f"{trial!r} is neither a trial's number nor its name",
            place="TRIAL",
            mend="as in: labctl show latest 3",
        )
    return int(number)


def _described(run: "Run", frame: "pd.DataFrame") -> dict[str, Any]:
    """A run for a script."""
    counted = frame[~frame["warmup"].fillna(value=False)]["outcome"].value_counts()
    return {
        "name": run.name,
        "path": str(run.path),
        "campaign": run.plan.campaign,
        "started": run.started.isoformat() if run.started else None,
        "trials": len(run.plan.trials),
        "finished": len(finished(run)),
        "left": left_of(run),
        "outcomes": {str(name): int(count) for name, count in counted.items()},
    }


def _show_run(run: "Run", frame: "pd.DataFrame") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from labctl.analysis.frame import tells_transport
    from labctl.report.about import about, some_records

    _facts([*about([run], some_records(run.trials())), ("Directory", str(near(run.path)))])
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("trial", justify="right")
    table.add_column("block", justify="right")
    table.add_column("cell", overflow="fold")
    carried = tells_transport(frame)
    if carried:
        table.add_column("transport", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("total, s", justify="right")
    table.add_column("blackout, ms", justify="right")
    for row in frame.to_dict("records"):
        outcome = Text(row["outcome"].replace("_", " "), STYLES.get(row["outcome"], ""))
        table.add_row(
            str(row["trial"]),
            "warm-up" if row["warmup"] is True else str(row["block"]),
            row["cell"],
            *([str(row["transport"])] if carried else []),
            outcome,
            _figure(row["total_time_ms"], 1e-3),
            _figure(row["blackout_ms"]),
        )
    stdout().print(table)
    counted = frame[~frame["warmup"].fillna(value=False)]
    for line in sentences(run, counted):
        say_prose(line)
    say(final_line(counted))


def _show_trial(run: "Run", trial: "Trial") -> None:
    record = trial.record
    warmup = "; a warm-up, left out of the results" if record.warmup else ""
    ending = record.outcome.value.replace("_", " ")
    verdict = f", {record.verdict.value.replace('_', ' ')}" if record.verdict else ""
    attempts = len(run.attempts(record.number))
    facts = [
        (
            "Trial",
            f"{record.number} of {run.name}: block {record.block}, {record.direction}{warmup}",
        ),
        ("Cell", record.cell),
        ("Outcome", f"{ending}{verdict}"),
        *([("Reason", record.reason)] if record.reason else []),
        *([("Cut off before", f"{attempts} attempts")] if attempts else []),
        *_load(record),
        ("Memory check", _memory(record)),
        *(_qemu(side, record) for side in record.qemu),
        *(_rdma(side, record) for side in record.rdma),
        *_options(record),
        ("Course", ", ".join(_course(record))),
        ("Files", str(near(trial.path))),
    ]
    _facts(facts)


def _load(record: "TrialRecord") -> Iterator[tuple[str, str]]:
    """What the guest was asked and did before the migration, and its dirty curve, by its own count."""
    from labctl.report.numbers import short

    mib = 2**20
    rate, load = record.guest.write_rate, record.guest.load
    if rate and rate.asked_bytes_per_s is not None and rate.measured_bytes_per_s is not None:
        asked, done = rate.asked_bytes_per_s / mib, rate.measured_bytes_per_s / mib
        yield "Load", f"{short(done)} MiB/s written, {short(asked)} MiB/s asked"
    for name, account in (
        ("Dirty curve", load.before if load else None),
        ("  in migration", load.during if load else None),
    ):
        points = [
            f"{point.window_ms} ms {short(point.pages * 4096 / point.windows / mib)}"
            for point in (account.dirty_curve if account else ())
            if point.windows
        ]
        if points:
            yield name, f"{', '.join(points)} (window, MiB of different pages)"


def _memory(record: "TrialRecord") -> str:
    check = record.guest.check
    if check is None:
        return "was not made"
    if check.pages_bad == 0:
        return f"{check.pages_checked} pages, none differs"
    return f"{check.pages_checked} pages, {check.pages_bad} differ"


def _qemu(side: str, record: "TrialRecord") -> tuple[str, str]:
    qemu = record.qemu[side]
    parts = (qemu.version, qemu.machine_type, qemu.accelerator)
    return f"QEMU, {side}", ", ".join(part for part in parts if part)


def _rdma(side: str, record: "TrialRecord") -> tuple[str, str]:
    """The port that carried it at one end, and by what name its results go."""
    from labctl.campaign.carriers import carrier

    port, qemu = record.rdma[side], record.qemu.get(side)
    limit = qemu.memlock_bytes if qemu is not None else None
    parts = [
        carrier("rdma", port.provider),
        f"{port.device} port {port.port} ({port.provider})",
        f"active MTU {_value(port.mtu_bytes)}",
        f"may lock {_value(limit)}{'' if isinstance(limit, str) else ' bytes'}",
    ]
    return f"RDMA, {side}", ", ".join(parts)


def _options(record: "TrialRecord") -> Iterator[tuple[str, str]]:
    """Each option that was asked for, and what was seen of it."""
    for option, seen in record.evidence.items():
        counts = (f"{name.replace('_', ' ')} {_value(value)}" for name, value in seen.items())
        yield option.replace("_", "-"), ", ".join(counts) or "nothing was seen"


def _course(record: "TrialRecord") -> Iterator[str]:
    """How long each state took."""
    entered = sorted(record.times.entered.items(), key=lambda item: item[1])
    for (state, begun), (_, ended) in pairwise(entered):
        yield f"{state} {(ended - begun) / 1e9:.2f} s"


def _show_figures(trial: "Trial", *, whole: bool) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from labctl.results.figures import FIGURES, MORE_FIGURES

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("figure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    if whole:
        table.add_column("what it is")
    values = trial.figures()
    for figure in (*FIGURES, *MORE_FIGURES) if whole else FIGURES:
        column = figure.column
        row = (column.name, _value(values.get(column.name)), column.unit, column.definition)
        table.add_row(*(row if whole else row[:3]))
    stdout().print(table)


def _value(value: Any) -> str:
    from labctl.report.numbers import NONE

    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _figure(value: Any, scale: float = 1.0) -> str:
    import pandas as pd

    from labctl.report.numbers import NONE, short

    return NONE if pd.isna(value) else short(float(value) * scale)


def _facts(facts: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        say(f"{name:{width}}  {value}")
    say("")
