"""`labctl doctor`: what this machine lacks, and how to mend it."""

import typer

from labctl.cli.console import out, say, say_json, tell
from labctl.cli.options import JsonOption
from labctl.errors import LabError


def doctor(*, as_json: JsonOption = False) -> None:
    """Say what this machine lacks, and how to mend it.

    Exit status: 0 nothing is missing, 3 something is.
    """
    from labctl.doctor import CHECKS, examine

    findings = list(zip(CHECKS, examine(), strict=True))
    missing = [(check, finding) for check, finding in findings if not finding.ok]
    if as_json:
        say_json(
            [
                {
                    "id": check.id,
                    "what": check.what,
                    "ok": finding.ok,
                    "detail": finding.detail,
                    "mend": finding.mend,
                    "reason": check.reason,
                }
                for check, finding in findings
            ]
        )
    else:
        show([(check.what, finding.ok, finding.detail) for check, finding in findings])
        for check, finding in missing:
            say(f"\n{check.what}: {finding.detail}\n  why:  {check.reason}\n  mend: {finding.mend}")
        if not missing:
            tell("nothing is missing")
    if missing:
        raise typer.Exit(LabError.exit_code)


def show(rows: list[tuple[str, bool, str]]) -> None:
    """What was looked at, whether it is well, what was seen: one row each."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for what, ok, detail in rows:
        sign = Text("ok", "green") if ok else Text("missing", "bold red")
        table.add_row(sign, Text(what), Text(detail, "" if ok else "red"))
    out().print(table)
