"""`labctl doctor`: what this machine lacks, and how to mend it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from labctl.cli.console import out, say, say_json, tell
from labctl.cli.options import JsonOption
from labctl.errors import LabError

if TYPE_CHECKING:
    from labctl.doctor.check import Check, Finding


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
        explain(missing)
        if not missing:
            tell("nothing is missing")
    if missing:
        raise typer.Exit(LabError.exit_code)


def explain(missing: Sequence["tuple[Check, Finding]"]) -> None:
    """Why each thing that is missing is needed; a mend of several is said once, behind the last of them."""
    mends = [finding.mend for _, finding in missing]
    for number, (check, finding) in enumerate(missing):
        say(f"\n{check.what}: {finding.detail}\n  why:  {check.reason}")
        if finding.mend in mends[number + 1 :]:
            continue
        several = f" (all {count} of these)" if (count := mends.count(finding.mend)) > 1 else ""
        say(f"  mend: {finding.mend}{several}")


def show(rows: list[tuple[str, bool, str]]) -> None:
    """What was looked at, whether it is well, what was seen: one row each."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for what, ok, detail in rows:
        sign = Text("ok", "green") if ok else Text("missing", "bold red")
        table.add_row(sign, Text(what), Text(detail, "" if ok else "red"))
    out().print(table)
