"""A stored plan and a changed one: what differs, and both put together, where nothing is renumbered, repeated or
overwritten.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from labctl.campaign.plan import Plan
from labctl.campaign.planned import PlannedTrial

_Key = tuple[str, int, str | None, int]


def differences(old: Plan, new: Plan) -> list[str]:
    """What changed between two plans, a sentence each; empty when a run can go on.

    Estimates and the wording of reasons do not count, nor do a lab's pairs unless they change a trial.
    """
    trials = list(_trial_differences(old, new))
    pairs = [", ".join(plan.pairs) for plan in (old, new)]
    return [
        *_changed("the campaign's name", old.campaign, new.campaign),
        *_changed("the seed", str(old.seed), str(new.seed)),
        *_changed("quick", str(old.quick), str(new.quick)),
        *_cell_differences(old, new),
        *(_changed("the list of pairs", *pairs) if trials and all(pairs) else ()),
        *trials,
    ]


def merge(old: Plan, new: Plan, finished: Collection[int], used: Collection[int] = ()) -> Plan:
    """The plan to go on with when a run's plan has changed and that was accepted.

    A trial of `new` that `old` had (the same cell, block, pair that it warms up, and place among equals) keeps its number;
    others are numbered after the last of `old` and of `used`, the numbers that stand on disk: an earlier change may have
    dropped a trial that was attempted. Trials of `old` that are `finished` and no longer wanted stay, at the end.
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
    seen: Counter[tuple[str, int, str | None]] = Counter()
    keys = []
    for trial in trials:
        place = (trial.cell, trial.block, trial.pair)
        keys.append((*place, seen[place]))
        seen[place] += 1
    return keys


def _cell_differences(old: Plan, new: Plan) -> Iterator[str]:
    before = {cell.name: cell for cell in old.cells}
    after = {cell.name: cell for cell in new.cells}
    yield from (f"cell {name} is gone" for name in before if name not in after)
    yield from (f"cell {name} is new" for name in after if name not in before)
    for name in before.keys() & after.keys():
        was, now = _flat(before[name].model_dump()), _flat(after[name].model_dump())
        for key in sorted(was.keys() | now.keys()):
            yield from _changed(f"cell {name}: {key}", was.get(key), now.get(key))


def _trial_differences(old: Plan, new: Plan) -> Iterator[str]:
    yield from _changed("the number of trials", str(len(old.trials)), str(len(new.trials)))
    before = {trial.number: trial for trial in old.trials}
    after = {trial.number: trial for trial in new.trials}
    yield from _named("gone", [was for was in old.trials if was.number not in after])
    yield from _named("new", [now for now in new.trials if now.number not in before])
    kept = [number for number in before if number in after]
    if kept != [number for number in after if number in before]:
        yield "the order of the trials has changed"
    for number in kept:
        was, now = before[number], after[number]
        for key in ("cell", "block", "direction", "pair", "warmup", "rule"):
            yield from _changed(
                f"trial {number}: {key}", str(getattr(was, key)), str(getattr(now, key))
            )


def _named(what: str, trials: list[PlannedTrial]) -> Iterator[str]:
    """The first of the trials that are gone, or new, and how many more there are."""
    if trials:
        first, more = trials[0], len(trials) - 1
        role = f" (a warm-up of {first.pair})" if first.pair else ""
        yield f"trial {first.name}{role} is {what}" + (f", and {more} more" if more else "")


def _changed(what: str, was: str | None, now: str | None) -> Iterator[str]:
    if was != now:
        yield f"{what} was {was} and is {now}"


def _flat(value: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            flat |= _flat(inner, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(inner)
    return flat
