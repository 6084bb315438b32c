#!/usr/bin/env python3
"""Run a campaign tonight, and say what became worse since the last time. For cron:

    30 2 * * *  cd /srv/lab && .venv/bin/python nightly.py evacuation.yaml --out runs

A run that was cut off last night is finished instead of begun anew. It is compared with the newest whole
run of the very same campaign, by the conditions of `labctl compare --fail-if`: a figure is worse where its median
grew by more than was said *and* the difference is shown, its 95 % interval leaving out "none". Repetitions of one
night differ among themselves, and a difference inside that noise is none. That takes six repetitions;
whether a machine still arrives is judged with fewer too.

Exit status: 0 nothing became worse; 1 trials failed or had no valid load; 4 something became worse;
2, 3 and 130 as those of `labctl run`.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

import labctl
from labctl.analysis.compare import compare_runs
from labctl.analysis.gate import Condition, failures
from labctl.campaign import Campaign
from labctl.errors import InputError, LabctlError, PlanChanged
from labctl.results import Run, list_runs

FAIL_IF = (
    "completion worsens",
    "blackout worsens by > 25%",
    "total_time worsens by > 25%",
    "interruption worsens by > 25%",
)
WORSE = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Run, compare, say; the exit status."""
    said = argparse.ArgumentParser(description="Run a campaign; compare it with its last run.")
    said.add_argument("campaign", type=Path)
    said.add_argument("--out", type=Path, default=Path("runs"))
    said.add_argument(
        "--fail-if", action="append", metavar="CONDITION", help=f"instead of {FAIL_IF}"
    )
    asked = said.parse_args(argv)
    try:
        conditions = [Condition.parse(text) for text in asked.fail_if or FAIL_IF]
        return tonight(asked.campaign, asked.out, conditions)
    except LabctlError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def tonight(file: Path, out: Path, conditions: Sequence[Condition]) -> int:
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
    found = list(worse(before[-1].frame(), labctl.load_run(result.directory).frame(), conditions))
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


def worse(then: pd.DataFrame, now: pd.DataFrame, conditions: Sequence[Condition]) -> Iterator[str]:
    """What became worse, one line each. What cannot be judged, for want of repetitions, is said."""
    found = compare_runs(then, now, [c.metric for c in conditions if c.metric is not None])
    for condition in conditions:
        try:
            yield from (f"{condition.text}: {line}" for line in failures(condition, found))
        except InputError as unjudged:
            print(unjudged.fault, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
