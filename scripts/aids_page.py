"""The tables of docs/aids.md, from a run of campaigns/aids.yaml.

`python scripts/aids_page.py RUN` keeps the run's frame as docs/aids.csv and writes the tables from it; without RUN it writes
them from what is kept. What stands around the tables is written by hand.
"""

import math
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pandas as pd

import labctl
from labctl.campaign import load_campaign

ROOT = Path(__file__).parents[1]
PAGE, KEPT = ROOT / "docs" / "aids.md", ROOT / "docs" / "aids.csv"
MATRIX = load_campaign(ROOT / "campaigns" / "aids.yaml").matrix
BEGIN, END = "<!-- tables: made by scripts/aids_page.py -->\n", "<!-- end of tables -->"
COLUMNS = ["block", "algorithm", "content", "write_rate", "outcome", "reason"]
FIGURES = {
    "total_time_ms": ("Total time, s", 1000, 1),
    "blackout_ms": ("Blackout, ms", 1, 0),
    "work_lost_s": ("Work that the guest lost, in seconds of its undisturbed rate", 1, 2),
    "wire_bytes": ("On the wire, MiB", 2**20, 0),
}
"""Title, divisor and decimals of each figure that is shown."""


def tables(frame: pd.DataFrame) -> str:
    """A table a figure: a row for each content and rate, a column for each variant, both repetitions in a field."""
    return "\n".join("\n".join(_table(frame, figure)) + "\n" for figure in FIGURES)


def _table(frame: pd.DataFrame, figure: str) -> Iterator[str]:
    title, divisor, decimals = FIGURES[figure]
    variants = MATRIX["algorithm"]
    yield f"**{title}**\n"
    yield f"| content | written | {' | '.join(variants)} |"
    yield "|" + " --- |" * (2 + len(variants))
    for content, rate in product(MATRIX["content"], MATRIX["write_rate"]):
        these = frame[(frame["content"] == content) & (frame["write_rate"] == rate)]
        fields = []
        for variant in variants:
            trials = these[these["algorithm"] == variant].sort_values("block")
            found = zip(trials["outcome"], trials[figure].astype(float), strict=True)
            fields.append(", ".join(_field(*each, figure, divisor, decimals) for each in found))
        yield f"| {content} | {rate} | {' | '.join(fields)} |"


def _field(outcome: str, value: float, figure: str, divisor: float, decimals: int) -> str:
    """The figure; of a trial that did not complete its outcome in the first table, and brackets in the others."""
    if figure == "total_time_ms" and outcome != "completed":
        return "no end" if outcome == "not_converged" else outcome.replace("_", " ")
    if math.isnan(value):
        return "-"
    text = f"{value / divisor:.{decimals}f}"
    return text if outcome == "completed" else f"({text})"


def page(text: str, frame: pd.DataFrame) -> str:
    """The page's text with its tables made anew."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + tables(frame) + "\n" + END + rest.split(END)[1]


def main() -> None:
    """Keep a run's frame, if one is named, and write the page."""
    if len(sys.argv) > 1:
        frame = labctl.load_run(sys.argv[1]).frame()
        frame[[*COLUMNS, *FIGURES]].to_csv(KEPT, index=False, float_format="%.6g")
    PAGE.write_text(page(PAGE.read_text(), pd.read_csv(KEPT)))


if __name__ == "__main__":
    main()
