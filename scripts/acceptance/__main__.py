"""All of it, suite by suite; the kills in the first."""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from labctl.results import load_run
from labctl.results.run import Run
from scripts.acceptance import killed
from scripts.acceptance.judged import carried, judge, rows
from scripts.acceptance.labs import RUN_S, TRIALS_FAILED, Lab, Unmet
from scripts.acceptance.page import ROOT, Seen, write_table

CAMPAIGN: Final = ROOT / "campaigns" / "transports.yaml"
REPORT: Final = ROOT / "docs" / "transports-report.html"
"""of the newest QEMU"""
SUITES: Final = ("bookworm", "trixie")


def main() -> None:
    """See the package's docstring."""
    asked = sys.argv[1:] or list(SUITES)
    for suite in asked:
        try:
            seen = shown(suite, first=suite == asked[0])
        except Unmet as error:
            sys.exit(str(error))
        outcomes = seen.frame["outcome"].value_counts()
        print(f"{suite}:", ", ".join(f"{count} {name}" for name, count in outcomes.items()))
        if suite in SUITES:
            write_table(seen)
        if suite == SUITES[-1]:
            shutil.copy(seen.report, REPORT)


def shown(suite: str, *, first: bool) -> Seen:
    """A lab of that suite from nothing, the campaign in it, and the lab gone again."""
    with tempfile.TemporaryDirectory(prefix="labctl-acceptance-", dir="/var/tmp") as cache:
        lab = Lab(suite, cache)
        if first:
            killed.while_its_image_is_made(lab)
        try:
            started = time.time()
            lab.up()
            up_s = time.time() - started
            lab.labctl("lab", "check", lab.name)
            out = ROOT / "runs"
            run_it = ("run", str(CAMPAIGN), "--lab", lab.name, "--out", str(out))
            lab.labctl(*run_it, within_s=RUN_S, also={TRIALS_FAILED})  # which may fail is judged
            if first:
                killed.in_a_campaign(lab)
        finally:
            lab.down()
        if first:
            killed.while_its_hosts_boot(lab)
            killed.while_it_is_provisioned(lab)
        run = load_run("latest", out)
        frame = run.frame()
        judge(suite, frame)
        environment = json.loads((run.path / "environment.json").read_text())
        first_rdma_s = _first_rdma_s(run, frame, started)
        return Seen(
            suite, *_qemu_of(environment), up_s, first_rdma_s, frame, run.path / "report.html"
        )


def _first_rdma_s(run: Run, frame: pd.DataFrame, started: float) -> float | None:
    """Seconds from `started` until a migration by RDMA had ended."""
    ends = [
        (path / "trial.json").stat().st_mtime
        for row in rows(frame)
        if carried(row) == "rdma" and row["outcome"] == "completed"
        for path in (run.path / "trials").glob(f"{row['trial']:04}-*")
        if "attempt" not in path.name
    ]
    return min(ends) - started if ends else None


def _qemu_of(environment: Mapping[str, Any]) -> tuple[str, str]:
    pair = next(iter(environment["pairs"].values()))
    end = next(iter(pair["ends"].values()))
    return end["version"], end["accelerators"]["chosen"]


if __name__ == "__main__":
    main()
