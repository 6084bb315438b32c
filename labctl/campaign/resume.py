"""A stored plan and a changed one, put together: nothing is renumbered, repeated or overwritten."""

from collections import Counter
from collections.abc import Collection

from labctl.campaign.plan import Plan, PlannedTrial

_Key = tuple[str, int, int]


def merge(old: Plan, new: Plan, finished: Collection[int], used: Collection[int] = ()) -> Plan:
    """The plan to go on with when a run's plan has changed and that was accepted.

    A trial of `new` that `old` had (the same cell, block and place among equals) keeps its number; others are numbered after
    the last of `old` and of `used`, the numbers that stand on disk: an earlier change may have dropped a trial that was
    attempted. Trials of `old` that are `finished` and no longer wanted stay, at the end.
    """
    numbered = dict(zip(_keys(old.trials), old.trials, strict=True))
    following = max([0, *used, *(trial.number for trial in old.trials)]) + 1
    trials: list[PlannedTrial] = []
    for key, trial in zip(_keys(new.trials), new.trials, strict=True):
        known = numbered.pop(key, None)
        if known is None:
            trials.append(trial.model_copy(update={"number": following}))
            following += 1
        elif known.number in finished:
            trials.append(known)
        else:
            trials.append(trial.model_copy(update={"number": known.number}))
    trials += [trial for trial in numbered.values() if trial.number in finished]
    wanted = {trial.cell for trial in trials}
    cells = {cell.name: cell for cell in (*old.cells, *new.cells) if cell.name in wanted}
    return new.model_copy(update={"trials": tuple(trials), "cells": tuple(cells.values())})


def _keys(trials: Collection[PlannedTrial]) -> list[_Key]:
    seen: Counter[tuple[str, int]] = Counter()
    keys = []
    for trial in trials:
        place = (trial.cell, trial.block)
        keys.append((*place, seen[place]))
        seen[place] += 1
    return keys
