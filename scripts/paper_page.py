"""The table of docs/paper.md: what the paper and its field claim, and what a run of campaigns/paper-small.yaml shows of it.

`python scripts/paper_page.py RUN` keeps the run's frame as docs/paper.parquet and writes the table from it; without RUN it writes it
from what is kept. What stands around the table is written by hand. A claim is supported where what was measured shows it,
contradicted where it shows the opposite, and else not shown; the figure and its interval stand beside.
"""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

import labctl
from labctl.analysis.cells import Cells, Key, cells_of
from labctl.analysis.effect_size import effect
from labctl.analysis.metrics import BY_COLUMN, with_derived
from labctl.analysis.statistics import Interval, share_difference, share_interval
from labctl.campaign import load_campaign
from labctl.report.numbers import short
from labctl.results.raw import from_parquet, to_parquet

ROOT = Path(__file__).parents[1]
PAGE, KEPT = ROOT / "docs" / "paper.md", ROOT / "docs" / "paper.parquet"
CAMPAIGN = load_campaign(ROOT / "campaigns" / "paper-small.yaml")
BEGIN, END = "<!-- table: made by scripts/paper_page.py -->\n", "<!-- end of table -->"
FACTORS = ("algorithm", "memory", "working_set", "content", "write_rate")
SAME = 0.10
"""two times that are the same within so much, with their whole interval, do not depend on what was changed"""

Verdict = Literal["supported", "contradicted", "not shown"]


@dataclass(frozen=True)
class Finding:
    """What was measured of a claim."""

    evidence: str
    verdict: Verdict


class Study:
    """The cells of the run."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.cells: Cells = cells_of(with_derived(frame), FACTORS)

    def cell(self, algorithm: str, rate: str, *, content: str = "random", working_set: str = "32MiB", memory: str = "96MiB") -> Key:  # fmt: skip
        """A cell's key; all but the algorithm and the rate are the matrix's, unless told."""
        return (algorithm, memory, working_set, content, rate)

    def completed(self, first: Key, second: Key) -> Finding:
        """Whether the second completes more often than the first."""
        counts = [(self.cells.completed[key], self.cells.tried[key]) for key in (first, second)]
        difference = share_difference(counts[0], counts[1])
        told = [f"{key[0]} {k} of {n} {_percent(share_interval(k, n))}" for key, (k, n) in zip((first, second), counts, strict=True)]  # fmt: skip
        verdict: Verdict = (
            "supported"
            if difference.low > 0
            else "contradicted"
            if difference.high < 0
            else "not shown"
        )
        return Finding(", ".join(told), verdict)

    def seldom(self, key: Key) -> Finding:
        """Whether it is shown that a cell completes in less than half of all cases."""
        k, n = self.cells.completed[key], self.cells.tried[key]
        interval = share_interval(k, n)
        verdict: Verdict = (
            "supported"
            if interval.high < 0.5
            else "contradicted"
            if interval.low > 0.5
            else "not shown"
        )
        return Finding(f"{key[0]} {k} of {n} {_percent(interval)}", verdict)

    def larger(self, column: str, less: Key, more: Key) -> Finding:
        """Whether a figure of the second cell is larger than that of the first."""
        metric = BY_COLUMN[column]
        sides = [self.cells.blocks(column, [key]) for key in (less, more)]
        found = effect("", metric, sides[0], sides[1], paired=True)
        if found is None:
            return Finding(f"{metric.title}: one of them never completed", "not shown")
        values = [f"{_name(key, less, more)} {short(value * metric.scale)} {metric.unit}" for key, value in ((less, found.a), (more, found.b))]  # fmt: skip
        told = f"{metric.title.lower()}: {', '.join(values)}; ratio {_ratio(found.ratio, found.interval)}"
        verdicts: dict[str, Verdict] = {"worse": "supported", "better": "contradicted"}
        return Finding(told, verdicts.get(found.verdict, "not shown"))

    def same(self, column: str, keys: list[Key]) -> Finding:
        """Whether a figure is the same in all of them: the largest by the smallest, with its interval, within SAME."""
        metric = BY_COLUMN[column]
        ordered = sorted(keys, key=lambda key: self.cells.middle(column, key))
        sides = [self.cells.blocks(column, [key]) for key in (ordered[0], ordered[-1])]
        found = effect("", metric, sides[0], sides[1], paired=True)
        if found is None or found.interval is None:
            return Finding("too few completed", "not shown")
        ends = [f"{key[-1]} {short(value * metric.scale)} {metric.unit}" for key, value in ((ordered[0], found.a), (ordered[-1], found.b))]  # fmt: skip
        told = f"{metric.title.lower()}: shortest at {ends[0]}, longest at {ends[1]}; ratio {_ratio(found.ratio, found.interval)}"
        if found.interval.high <= 1 + SAME:
            return Finding(told, "supported")
        return Finding(told, "contradicted" if found.interval.low > 1 + SAME else "not shown")


def _name(key: Key, *others: Key) -> str:
    """What tells a cell from the other."""
    differing = [
        level for place, level in enumerate(key) if len({other[place] for other in others}) > 1
    ]
    return " ".join(differing)


def _percent(interval: Interval) -> str:
    return f"[{100 * interval.low:.0f}, {100 * interval.high:.0f} %]"


def _ratio(ratio: float, interval: Interval | None) -> str:
    if not math.isfinite(ratio):
        return "without end, from 0"
    return f"{ratio:.2f}" + (f" [{interval.low:.2f}, {interval.high:.2f}]" if interval else "")


@dataclass(frozen=True)
class Claim:
    """What is claimed, by whom, and how the run is asked."""

    text: str
    by: str
    ask: Callable[[Study], list[Finding]]


LINK_TWICE, LINK_FOUR = "120MiB/s", "240MiB/s"
HALF = "30MiB/s"
RATES = CAMPAIGN.matrix["write_rate"]

CLAIMS = (
    Claim(
        "Precopy does not converge where pages are dirtied faster than the link carries them; postcopy does.",
        "the paper; Hines and Gopalan 2009",
        lambda s: [s.completed(s.cell("precopy", LINK_FOUR), s.cell("postcopy", LINK_FOUR))],
    ),
    Claim(
        "What precopy needs is a working set that fits into the downtime, not a low write rate.",
        "Clark et al. 2005 (the writable working set)",
        lambda s: [s.completed(s.cell("precopy", LINK_FOUR), s.cell("precopy", LINK_FOUR, working_set="8MiB"))],
    ),
    Claim(
        "Postcopy's total time does not depend on the write rate.",
        "the paper",
        lambda s: [s.same("total_time_ms", [s.cell("postcopy", rate) for rate in RATES])],
    ),
    Claim(
        "Precopy's total time grows with the write rate.",
        "the paper",
        lambda s: [s.larger("total_time_ms", s.cell("precopy", "0MiB/s"), s.cell("precopy", HALF))],
    ),
    Claim(
        "Postcopy's blackout is shorter than precopy's.",
        "Hines and Gopalan 2009",
        lambda s: [s.larger("blackout_ms", s.cell("postcopy", HALF), s.cell("precopy", HALF))],
    ),
    Claim(
        "Postcopy's brownout is the longest.",
        "the paper; Hines and Gopalan 2009",
        lambda s: [s.larger("brownout_ms", s.cell(other, HALF), s.cell("postcopy", HALF)) for other in ("precopy", "hybrid")],
    ),
    Claim(
        "Hybrid stands between the two: it completes where precopy does not, and costs the guest less than postcopy.",
        "the paper",
        lambda s: [
            s.completed(s.cell("precopy", LINK_FOUR), s.cell("hybrid", LINK_FOUR)),
            s.larger("service_lost_s", s.cell("hybrid", HALF), s.cell("postcopy", HALF)),
            s.larger("service_lost_s", s.cell("hybrid", LINK_FOUR), s.cell("postcopy", LINK_FOUR)),
        ],
    ),
    Claim(
        "Exposure orders the other way round: precopy has none, hybrid less than postcopy.",
        "the paper",
        lambda s: [
            s.larger("exposure_s", s.cell("precopy", LINK_TWICE), s.cell("hybrid", LINK_TWICE)),
            s.larger("exposure_s", s.cell("hybrid", LINK_FOUR), s.cell("postcopy", LINK_FOUR)),
        ],
    ),
    Claim(
        "XBZRLE widens precopy's range where writes change little of a page.",
        "Svärd et al. 2011",
        lambda s: [s.completed(s.cell("precopy", LINK_FOUR, content="delta"), s.cell("xbzrle", LINK_FOUR, content="delta"))],
    ),
    Claim(
        "XBZRLE does not where they change all of it.",
        "Svärd et al. 2011",
        lambda s: [s.seldom(s.cell("xbzrle", LINK_FOUR))],
    ),
    Claim(
        "Auto-converge makes precopy complete, and the guest pays for it: more than with a hybrid.",
        "QEMU's documentation",
        lambda s: [
            s.completed(s.cell("precopy", LINK_FOUR), s.cell("throttle", LINK_FOUR)),
            s.larger("service_lost_s", s.cell("hybrid", LINK_FOUR), s.cell("throttle", LINK_FOUR)),
        ],
    ),
    Claim(
        "With preempt, requested pages overtake the others: the guest waits less for them.",
        "QEMU's documentation",
        lambda s: [s.larger("stall_page_fault_ms", s.cell("preempt", LINK_FOUR), s.cell("postcopy", LINK_FOUR))],
    ),
    Claim(
        "Total time grows with the memory, whatever the algorithm.",
        "the bound M / R",
        lambda s: [s.larger("total_time_ms", s.cell(a, HALF), s.cell(a, HALF, memory="192MiB")) for a in ("precopy", "postcopy", "hybrid")],
    ),
)  # fmt: skip


def table(frame: pd.DataFrame) -> str:
    """The claims, each with its evidence and its verdict."""
    return "\n".join(_lines(Study(frame))) + "\n"


def _lines(study: Study) -> Iterator[str]:
    yield "| claim | claimed by | measured: figure [95 % interval] | |"
    yield "| --- | --- | --- | --- |"
    for claim in CLAIMS:
        found = claim.ask(study)
        verdicts = {finding.verdict for finding in found}
        whole = (
            verdicts.pop()
            if len(verdicts) == 1
            else "in part: " + ", ".join(f.verdict for f in found)
        )
        evidence = "<br>".join(finding.evidence for finding in found)
        yield f"| {claim.text} | {claim.by} | {evidence} | **{whole}** |"


def page(text: str, frame: pd.DataFrame) -> str:
    """The page's text with its table made anew."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table(frame)}\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Keep the frame of a run, if one is named; write the table."""
    if len(sys.argv) > 1:
        frame = labctl.load_run(sys.argv[1]).frame()
        KEPT.write_bytes(to_parquet(frame))
    PAGE.write_text(page(PAGE.read_text(), from_parquet(KEPT)))


if __name__ == "__main__":
    main()
