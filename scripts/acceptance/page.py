"""The tables of docs/transports.md; what stands around them is written by hand."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from scripts.acceptance.judged import rows

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "transports.md"
_BEGIN, _END = "<!-- {}: made by make acceptance -->\n", "<!-- end of {} -->"


@dataclass(frozen=True)
class Seen:
    """What one suite's lab has shown."""

    suite: str
    qemu: str
    accelerator: str
    up_s: float
    first_rdma_s: float | None
    """from nothing to the first migration by RDMA that completed"""
    frame: pd.DataFrame
    report: Path


def write_table(seen: Seen) -> None:
    """Put a suite's there, in the place of what it has shown before."""
    begin, end = _BEGIN.format(seen.suite), _END.format(seen.suite)
    before, _, rest = PAGE.read_text().partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text(before + begin + _section(seen) + end + after)


def _section(seen: Seen) -> str:
    took = (
        ""
        if seen.first_rdma_s is None
        else f"; {seen.first_rdma_s:.0f} s from nothing to the first migration by RDMA"
    )
    lines = [
        f"\n### {seen.suite}: QEMU {seen.qemu}, {seen.accelerator}\n",
        f"The lab was up after {seen.up_s:.0f} s{took}.\n",
        "| transport | pinned | algorithm | written | delay | outcome | total, s | blackout, ms | wire, MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    frame = seen.frame.sort_values(["transport", "pin_all", "algorithm", "write_rate", "delay"])
    for row in rows(frame):
        why = {"unsupported": row["rule"], "failed": row["verdict"]}.get(row["outcome"])
        outcome = f"{row['outcome']}: `{why}`" if why else row["outcome"]
        figures = (
            ("", "", "")
            if row["outcome"] != "completed"
            else (
                f"{row['total_time_ms'] / 1e3:.1f}",
                f"{row['blackout_ms']:.0f}",
                f"{row['wire_bytes'] / 2**20:.1f}",
            )
        )
        cells = (
            row["transport"],
            row["pin_all"],
            row["algorithm"],
            row["write_rate"],
            row["delay"],
            outcome,
            *figures,
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"
