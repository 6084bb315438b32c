#!/usr/bin/env python3
"""Run a campaign tonight, and say what became worse since the last time. For cron:

    30 2 * * *  cd /srv/lab && .venv/bin/python nightly.py evacuation.yaml --out runs

A run that was cut off last night is finished instead of begun anew. Medians are compared with those of
the newest whole run of the very same campaign. A cell counts as worse only where its median grew by
more than the tolerance *and* every value of tonight lies above every value of then: repetitions of one
night differ among themselves, and a difference inside that noise is none. Below three repetitions
no figure is judged.

Exit status: 0 nothing became worse; 1 trials failed or had no valid load; 4 something became worse;
2, 3 and 130 as those of `labctl run`.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

import labctl
from labctl.analysis.frame import summary
from labctl.campaign import Campaign
from labctl.errors import LabctlError, PlanChanged
from labctl.results import Run, list_runs

FIGURES = ("blackout_ms", "total_time_ms", "stall_max_ms")
ENOUGH = 3
WORSE = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Run, compare, say; the exit status."""
    said = argparse.ArgumentParser(description="Run a campaign; compare it with its last run.")
    said.add_argument("campaign", type=Path)
    said.add_argument("--out", type=Path, default=Path("runs"))
    said.add_argument("--tolerance", type=float, default=0.25, help="0.25: a quarter more is worse")
    asked = said.parse_args(argv)
    try:
        return tonight(asked.campaign, asked.out, asked.tolerance)
    except LabctlError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def tonight(file: Path, out: Path, tolerance: float) -> int:
    """Run the campaign of a file, or finish its last run; compare; the exit status."""
    campaign = labctl.load_campaign(file)
    plan = labctl.plan(campaign)
    runnable = sum(trial.supported for trial in plan.trials)
    print(
        f"{campaign.name}: {runnable} of {len(plan.trials)} trials, {plan.estimate_s / 60:.0f} min"
    )
    before = [run for run in runs_of(campaign, out) if whole(run)]
    result = finish(campaign, out) or labctl.run(campaign, out=out)
    print(f"{result.directory}: {dict(result.summary.outcomes)}")
    if result.exit_code:
        return result.exit_code
    before = [run for run in before if run.name != result.directory.name]
    if not before:
        print("its first run: nothing to compare with")
        return 0
    found = list(worse(before[-1].frame(), labctl.load_run(result.directory).frame(), tolerance))
    print("\n".join(found) or f"nothing became worse since {before[-1].name}")
    return WORSE if found else 0


def runs_of(campaign: Campaign, out: Path) -> list[Run]:
    """The runs of this very campaign, oldest first; one that cannot be read is none."""
    found = []
    for info in list_runs(out):
        run = labctl.load_run(info.path)
        try:
            if run.campaign.model_dump() == campaign.model_dump():
                found.append(run)
        except LabctlError as error:
            print(f"{info.name}: left out: {error}", file=sys.stderr)
    return found


def whole(run: Run) -> bool:
    """Whether each of its trials that can run has a result."""
    done = {trial.record.number for trial in run.trials()}
    return all(t.number in done for t in run.plan.trials if t.supported and not t.warmup)


def finish(campaign: Campaign, out: Path) -> "labctl.Result | None":
    """Go on with the newest run of the campaign, if it was cut off and the lab is what it was."""
    runs = runs_of(campaign, out)
    if not runs or whole(runs[-1]):
        return None
    try:
        return labctl.resume(runs[-1].path, out=out)
    except PlanChanged as change:
        print(f"{runs[-1].name}: cut off, and not gone on with: {change}", file=sys.stderr)
        return None


def worse(then: pd.DataFrame, now: pd.DataFrame, tolerance: float) -> Iterator[str]:
    """What became worse, one line each: fewer trials that completed, or a figure beyond the noise."""
    old, new = (summary(frame, FIGURES).set_index("cell") for frame in (then, now))
    for cell in [cell for cell in new.index if cell in old.index]:
        was, has = old.loc[cell], new.loc[cell]
        # By share: an adaptive campaign runs a cell as often as its noise asks.
        if has["completed"] / has["trials"] < was["completed"] / was["trials"]:
            then_of, now_of = (f"{row['completed']} of {row['trials']}" for row in (was, has))
            yield f"{cell}: {then_of} completed then, {now_of} now"
        for name in FIGURES:
            grew = has[name] > was[name] * (1 + tolerance)
            enough = min(has[f"{name}_n"], was[f"{name}_n"]) >= ENOUGH
            if enough and grew and has[f"{name}_min"] > was[f"{name}_max"]:
                yield f"{cell}: {name} {was[name]:.4g} then, {has[name]:.4g} now"


if __name__ == "__main__":
    sys.exit(main())
