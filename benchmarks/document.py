"""The page and its JSON: rows by claim, each claim with its own date and machine; some can be measured anew, the others stay."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.claim import Claim
from benchmarks.rows import Limit, Measured, Row

VERSION = 1
_DASH = "-"
_TITLE = """# Benchmarks: how true the figures are

Made by `make bench` (some rows anew: `make bench ONLY=blackout,wire`); never written by hand. Each figure stands beside the
limit it is held to, the command that made it and when. A limit that is not kept is shown as **failed**; a figure without a limit
is told for what it is worth. Beside each ratio stands an A/A row: the same thing against itself, which is the noise of the method on that machine.
Intervals are of 95 %, by bootstrap. The raw points are in [benchmarks.json](benchmarks.json).
"""


def load(path: Path) -> dict[str, Measured]:
    """What was measured before, by claim; nothing where there is no file yet. ValueError when it is none of ours."""
    if not path.exists():
        return {}
    data = json.loads(path.read_text())
    if data.get("version") != VERSION:
        raise ValueError(f"{path}: not of version {VERSION}: move it away")
    return {name: Measured.from_json(found) for name, found in data["claims"].items()}


def merged(
    before: Mapping[str, Measured], now: Iterable[Measured], order: Iterable[str]
) -> dict[str, Measured]:
    """What was measured now in the place of what was before, in the order of the claims; what is no claim any more goes."""
    whole = {**before, **{measured.claim: measured for measured in now}}
    return {name: whole[name] for name in order if name in whole}


def to_json(measured: Mapping[str, Measured]) -> str:
    """The text of benchmarks.json."""
    claims = {name: found.to_json() for name, found in measured.items()}
    return json.dumps({"version": VERSION, "claims": claims}, indent=1) + "\n"


def to_markdown(measured: Mapping[str, Measured], claims: Iterable[Claim]) -> str:
    """The text of benchmarks.md."""
    known = list(claims)
    lines = [_TITLE]
    lines += [
        "| what | figure | n | interval | limit | | command | when (UTC) |",
        "|" + " --- |" * 8,
    ]
    for found in measured.values():
        lines += [_line(found, row) for row in found.rows]
        if found.error is not None:
            lines.append(
                f"| {found.claim} | not measured: {_cell(found.error)} | 0 | {_DASH} | {_DASH} | **failed** "
                f"| `{found.command}` | {found.when} |"
            )
    missing = [claim for claim in known if claim.name not in measured]
    lines += [
        f"| {c.name} | not measured yet | 0 | {_DASH} | {_DASH} | {_DASH} | `{c.command}` | |"
        for c in missing
    ]
    lines += ["", "## How each is measured", ""]
    lines += [f"- **{claim.name}**: {' '.join(claim.about.split())}" for claim in known]
    lines += ["", "## The machine", "", *_machines(measured)]
    return "\n".join(lines) + "\n"


def _line(found: Measured, row: Row) -> str:
    verdict = {None: _DASH, True: "kept", False: "**failed**"}[row.passed]
    interval = _DASH
    if row.interval is not None:
        low, high = row.interval
        interval = f"{number(low)} to {number(high)}"
    note = f" ({_cell(row.note)})" if row.note else ""
    value = "not had" if row.value is None else f"{number(row.value)} {row.unit}".strip()
    return (
        f"| {_cell(row.what)} | {value}{note} | {row.n} | {interval} | {_limit(row.limit)} | {verdict} "
        f"| `{found.command}` | {found.when} |"
    )


def _limit(limit: Limit | None) -> str:
    if limit is None:
        return _DASH
    if limit.least is not None and limit.most is not None:
        text = f"{number(limit.least)} to {number(limit.most)}"
    elif limit.most is not None:
        text = f"at most {number(limit.most)}"
    else:
        text = f"at least {number(limit.least or 0.0)}"
    return text + (", its interval" if limit.of == "interval" else "")


def number(value: float) -> str:
    """Four significant digits, and no exponent."""
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    text = f"{value:.4g}"
    return f"{value:.6f}".rstrip("0") if "e" in text else text


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _machines(measured: Mapping[str, Measured]) -> list[str]:
    """Each machine once, with the claims that were measured on it; and the load of each claim's run."""
    lines: list[str] = []
    by_machine: dict[str, list[Measured]] = {}
    for found in measured.values():
        by_machine.setdefault(json.dumps(dict(found.machine), sort_keys=True), []).append(found)
    for text, runs in by_machine.items():
        facts = "; ".join(f"{key}: {value}" for key, value in json.loads(text).items())
        lines += [f"{', '.join(run.claim for run in runs)}: {facts}.", ""]
        lines += ["| claim | seconds | load average before, after | stolen |", "|" + " --- |" * 4]
        lines += [_load(run) for run in runs]
        lines.append("")
    return lines[:-1]


def _load(run: Measured) -> str:
    said: Mapping[str, Any] = run.load
    return (
        f"| {run.claim} | {run.seconds:.0f} | {said.get('before', _DASH)}, {said.get('after', _DASH)} "
        f"| {100 * said.get('stolen', 0.0):.1f} % |"
    )
