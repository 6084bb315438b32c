"""The verbs as functions: what the command line does, for scripts.

import labctl

campaign = labctl.load_campaign("campaigns/quickstart.yaml")
print(labctl.plan(campaign).estimate_s)
result = labctl.run(campaign, out="runs")
frame = labctl.load_run(result.directory).frame()
"""

import os
import platform
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from labctl.campaign import (
    Campaign,
    Plan,
    differences,
    expand,
    grown,
    make_plan,
    regrown,
)
from labctl.campaign.loader import load_campaign
from labctl.campaign.resume import merge
from labctl.controller import Controller, Summary
from labctl.errors import InputError, PlanChanged
from labctl.events import Observer
from labctl.lab import Lab, Questions, open_lab
from labctl.results import RunStore, load_run
from labctl.results.layout import run_name
from labctl.results.run import Run

__all__ = ["Result", "load_campaign", "load_run", "plan", "resume", "run"]

DEFAULT_OUT = Path("runs")
_PACKAGES = ("labctl", "qemu.qmp", "pandas", "numpy", "pyarrow", "ansible-core")


@dataclass(frozen=True)
class Result:
    """A run that has ended: where it is stored, and how it ended."""

    directory: Path
    summary: Summary

    @property
    def exit_code(self) -> int:
        """The exit status of the command line."""
        return self.summary.exit_code


def plan(
    campaign: Campaign, *, lab: str | None = None, quick: bool = False, offline: bool = False
) -> Plan:
    """The plan of a campaign, as the QEMUs of its lab allow it.

    Args:
        campaign: what to run
        lab: instead of the campaign's own
        quick: one repetition, no warm-up
        offline: ask no lab; only the rules that need none are tried

    Raises InputError, LabError.
    """
    if offline:
        return make_plan(campaign, quick=quick)
    with _open(campaign, lab, f"plan-{os.getpid()}", lock=False) as opened:
        return _plan(campaign, opened, quick=quick)


def run(
    campaign: Campaign,
    *,
    out: str | Path = DEFAULT_OUT,
    lab: str | None = None,
    quick: bool = False,
    share: bool = False,
    fail_fast: bool = False,
    only: str | None = None,
    observers: Iterable[Observer] = (),
) -> Result:
    """Run a campaign; its results stand under `out` as they come.

    Args:
        campaign: what to run
        out: the parent of the run's directory
        lab: instead of the campaign's own
        quick: one repetition, no warm-up
        share: run beside another run on the same hosts, and mark the trials
        fail_fast: stop at the first trial that fails or has no valid load
        only: a glob; trials whose cell or name does not match it are left for later
        observers: told what happens

    Raises InputError, LabError; a trial that fails is a result, not an error.
    """
    now = datetime.now(UTC)
    with _open(campaign, lab, run_name(campaign.name, now), share=share) as opened:
        planned = _plan(campaign, opened, quick=quick)
        if only is not None and not any(trial.matches(only) for trial in planned.trials):
            raise no_match(only)
        environment = _environment(opened)
        with RunStore.create(Path(out), campaign, planned, environment, now=now) as store:
            return _controlled(
                campaign, planned, opened, store, observers, fail_fast=fail_fast, only=only
            )


def resume(
    directory: str | Path = "latest",
    *,
    out: str | Path = DEFAULT_OUT,
    lab: str | None = None,
    accept_changed_plan: bool = False,
    share: bool = False,
    fail_fast: bool = False,
    only: str | None = None,
    observers: Iterable[Observer] = (),
) -> Result:
    """Go on with a run where it was interrupted, on the lab that it was begun on: trials that have a result are not run again.

    Raises PlanChanged when the campaign or what the lab can do has changed since, unless that is accepted;
    RunNotFound, InputError, LabError.
    """
    with RunStore.resume(directory, Path(out)) as store:
        stored = load_run(store.path)
        campaign, old = stored.campaign, stored.plan
        with _open(campaign, lab or stored.lab, store.name, share=share) as opened:
            planned = _plan(campaign, opened, quick=old.quick)
            planned = regrown(planned, campaign, old)
            # Against the merged one: a change that was accepted once is not asked about again.
            planned = merge(old, planned, store.finished(), store.used())
            changes = differences(old, planned)
            if changes and not accept_changed_plan:
                raise PlanChanged(
                    "the plan has changed since it was stored:\n  " + "\n  ".join(changes),
                    place=str(store.path),
                    mend="undo the change, or go on with --accept-changed-plan",
                )
            if changes:
                store.write_plan(planned)
                store.journal("plan-changed", changes=changes)
            else:
                planned = old
            store.journal("environment", environment=_environment(opened))
            return _controlled(
                campaign, planned, opened, store, observers, fail_fast=fail_fast, only=only
            )


def more(run: Run) -> int:
    """How many trials an adaptive campaign's run, of which none is left, would go on with; 0 where it needs no more.

    Raises ResultsError, CampaignError.
    """
    decide = _unsettled(run.campaign, run.plan, run.path)
    plan = grown(run.plan, run.campaign, decide() if decide else (), 1)
    return len(plan.trials) - len(run.plan.trials)


def _controlled(
    campaign: Campaign,
    planned: Plan,
    opened: Lab,
    store: RunStore,
    observers: Iterable[Observer],
    *,
    fail_fast: bool,
    only: str | None,
) -> Result:
    """What is left of a plan, run."""
    unsettled = _unsettled(campaign, planned, store.path)
    controller = Controller(
        campaign, planned, opened, store, observers, fail_fast=fail_fast, only=only, unsettled=unsettled
    )  # fmt: skip
    return Result(store.path, controller.run())


def _unsettled(
    campaign: Campaign, planned: Plan, directory: Path
) -> Callable[[], list[str]] | None:
    """What says which cells need more repetitions; None where their number is fixed."""
    rule = campaign.adaptive
    if rule is None or planned.quick:
        return None

    def decide() -> list[str]:
        from labctl.analysis.adaptive import need_more  # pandas: slow to load, and few need it

        return need_more(load_run(directory).frame(), rule)

    return decide


def no_match(only: str) -> InputError:
    """The error of a pattern that no trial matches."""
    return InputError(
        f"no trial that is to be run matches {only!r}",
        place="--only",
        mend="a pattern as a shell knows it, as in: --only 'precopy,*' (`labctl plan` shows cells)",
    )


def _open(
    campaign: Campaign, lab: str | None, name: str, *, share: bool = False, lock: bool = True
) -> Lab:
    questions = Questions.about(expand(campaign))
    return open_lab(lab or campaign.lab, name, share=share, lock=lock, questions=questions)


def _plan(campaign: Campaign, lab: Lab, *, quick: bool) -> Plan:
    return make_plan(
        campaign, {name: pair.capabilities() for name, pair in lab.pairs.items()}, quick=quick
    )


def _environment(lab: Lab) -> dict[str, Any]:
    return {
        "controller": {
            "python": sys.version,
            "platform": platform.platform(),
            "packages": {name: version(name) for name in _PACKAGES},
        },
        **lab.environment(),
    }
