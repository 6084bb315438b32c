"""`labctl results`: the results of a run, for people and for programs."""

import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labctl.cli.closing import show_results
from labctl.cli.console import PLAIN_WIDTH, tell
from labctl.cli.options import DEFAULT_OUT, OutOption, RunArgument
from labctl.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


class Format(StrEnum):
    """What results can be printed as."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


FormatOption = Annotated[
    Format,
    typer.Option(
        "--format",
        "-f",
        help="table: a row a cell; csv, json (a flat list), parquet: a row a trial.",
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Instead of stdout.")
]
WarmupsOption = Annotated[bool, typer.Option("--warmups", help="With the warm-up trials.")]


def results(
    run: RunArgument = "latest",
    *,
    form: FormatOption = Format.TABLE,
    output: OutputOption = None,
    warmups: WarmupsOption = False,
    out: OutOption = DEFAULT_OUT,
) -> None:
    """Print the results of a run.

    A trial's columns, with unit and definition: docs/reference/results.md.
    """
    from labctl.analysis.metrics import NEEDED
    from labctl.results import load_run

    shown = form is Format.TABLE and output is None
    frame = load_run(run, out).frame(warmups=warmups, columns=NEEDED if shown else None)
    if shown:
        if len(frame):
            show_results(frame, plot=False)
        else:
            tell("no trial has a result yet")
    elif output is not None:
        try:
            output.write_bytes(rendered(frame, form))
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", place=str(output)) from None
    elif form is Format.PARQUET and sys.stdout.isatty():
        raise InputError(
            "parquet is not for a terminal", place="--format", mend="say --output FILE, or pipe it"
        )
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(rendered(frame, form))


def rendered(frame: "pd.DataFrame", form: Format) -> bytes:
    """The frame as the bytes of a file."""
    match form:
        case Format.CSV:
            return frame.to_csv(index=False).encode()
        case Format.JSON:
            return (json.dumps(list(records(frame)), indent=1) + "\n").encode()
        case Format.PARQUET:
            from labctl.results.raw import to_parquet

            return to_parquet(frame)
        case Format.TABLE:
            return _table(frame).encode()


def records(frame: "pd.DataFrame") -> Iterator[dict[str, Any]]:
    """One flat object a trial: whole numbers stay whole, what is not known is null."""
    import pandas as pd

    for row in frame.to_dict("records"):
        yield {
            str(name): None if pd.isna(value) else getattr(value, "item", lambda v=value: v)()
            for name, value in row.items()
        }


def _table(frame: "pd.DataFrame") -> str:
    from io import StringIO

    from rich.console import Console

    from labctl.report.terminal import results_table

    text = StringIO()
    Console(file=text, width=PLAIN_WIDTH).print(results_table(frame, width=PLAIN_WIDTH))
    return text.getvalue()
