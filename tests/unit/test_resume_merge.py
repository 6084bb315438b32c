"""Properties of a stored plan put together with a changed one, on a changed lab: nothing is renumbered, repeated or overwritten."""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from labctl.campaign import Campaign, Plan, PlannedTrial, differences, make_plan
from labctl.campaign.resume import merge
from labctl.lab.fake import CAPABILITIES

RATES = ("0MiB/s", "10MiB/s", "20MiB/s", "40MiB/s")
KINDS = ("precopy", "postcopy", "hybrid")


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Plans of one campaign as its author changes their mind, and the lab: cells, repetitions, warm-ups, seed, memory, pairs."""
    asked: dict[str, Any] = {
        "name": "changing",
        "guest": {"memory": draw(st.sampled_from(["64MiB", "128MiB"])), "working_set": "16MiB"},
        "link": {"bandwidth": "1Gbit/s"},
        "matrix": {
            "algorithm": draw(st.lists(st.sampled_from(KINDS), min_size=1, unique=True)),
            "write_rate": draw(st.lists(st.sampled_from(RATES), min_size=1, unique=True)),
        },
        "repetitions": str(draw(st.integers(1, 4))),
        "warmups": str(draw(st.integers(0, 3))),
        "seed": str(draw(st.integers(0, 3))),
    }
    names = draw(st.sets(st.sampled_from(["a-b", "c-d", "e-f"])))
    pairs = dict.fromkeys(names, (CAPABILITIES, CAPABILITIES))
    return make_plan(Campaign.model_validate(asked), pairs, quick=draw(st.booleans()))


@st.composite
def changes(draw: st.DrawFn) -> tuple[Plan, Plan, set[int]]:
    """An old plan, a new one, and the old one's trials that have a result."""
    old = draw(plans())
    finished = draw(st.sets(st.sampled_from([trial.number for trial in old.trials])))
    return old, draw(plans()), finished


def place(trial: PlannedTrial) -> tuple[str, int, str | None]:
    return trial.cell, trial.block, trial.pair


def wanted(plan: Plan) -> Counter[tuple[str, int, str | None]]:
    return Counter(place(trial) for trial in plan.trials)


def by_number(plan: Plan) -> dict[int, PlannedTrial]:
    return {trial.number: trial for trial in plan.trials}


@given(changes(), st.sets(st.integers(1, 99)))
def test_numbers_stay_unique_and_a_known_number_keeps_its_cell_and_block(
    change: tuple[Plan, Plan, set[int]], dropped: set[int]
) -> None:
    """`dropped` were attempted before an earlier change took them out of the plan."""
    old, new, finished = change
    used = finished | dropped
    merged = merge(old, new, finished, used)
    known = by_number(old)
    assert len(by_number(merged)) == len(merged.trials)
    for trial in merged.trials:
        if trial.number in known:
            was = known[trial.number]
            assert place(trial) == place(was)
        else:
            assert trial.number > max([*known, *used])


@given(changes())
def test_finished_trials_stay_as_they_were(change: tuple[Plan, Plan, set[int]]) -> None:
    old, new, finished = change
    merged = by_number(merge(old, new, finished))
    for number in finished:
        assert merged[number] == by_number(old)[number]


@given(changes())
def test_what_is_wanted_is_there_once_and_what_is_not_is_gone_unless_finished(
    change: tuple[Plan, Plan, set[int]],
) -> None:
    old, new, finished = change
    merged = merge(old, new, finished)
    has, asked = wanted(merged), wanted(new)
    assert asked <= has
    more = has - asked
    kept = Counter(place(t) for t in merged.trials if t.number in finished)
    assert more <= kept
    left = [t for t in merged.trials if t.number not in finished]
    assert Counter(place(t) for t in left) <= asked


@given(changes())
def test_the_order_is_the_new_plans(change: tuple[Plan, Plan, set[int]]) -> None:
    old, new, finished = change
    merged = merge(old, new, finished)
    places = [place(trial) for trial in merged.trials]
    asked = [place(trial) for trial in new.trials]
    assert places[: len(asked)] == asked


@given(changes())
def test_every_trial_has_its_cell(change: tuple[Plan, Plan, set[int]]) -> None:
    old, new, finished = change
    merged = merge(old, new, finished)
    for trial in merged.trials:
        merged.cell(trial.cell)
    assert {cell.name for cell in merged.cells} == {trial.cell for trial in merged.trials}
    for cell in merged.cells:
        if cell in new.cells:
            assert merged.cell(cell.name) == new.cell(cell.name)


@given(changes(), st.data())
def test_a_change_that_was_accepted_is_none_any_more(
    change: tuple[Plan, Plan, set[int]], data: st.DataObject
) -> None:
    """Resuming again with the same campaign, more trials finished, alters nothing: no second question."""
    old, new, finished = change
    merged = merge(old, new, finished)
    more = data.draw(st.sets(st.sampled_from([t.number for t in merged.trials])))
    again = merge(merged, new, finished | more)
    assert again == merged
    assert differences(merged, again) == []


@given(plans(), st.data())
def test_a_plan_merged_with_itself_is_itself(plan: Plan, data: st.DataObject) -> None:
    finished = data.draw(st.sets(st.sampled_from([t.number for t in plan.trials])))
    assert merge(plan, plan, finished) == plan


@given(changes())
def test_differences_are_none_only_where_all_that_counts_is_the_same(
    change: tuple[Plan, Plan, set[int]],
) -> None:
    """And few where a lab lost or gained a pair: not one for each trial behind its warm-ups."""
    old, new, finished = change
    merged = merge(old, new, finished)
    counts = [(t.number, place(t), t.direction, t.warmup) for t in merged.trials]
    same = (merged.seed, merged.quick) == (old.seed, old.quick) and merged.cells == old.cells
    same = same and counts == [(t.number, place(t), t.direction, t.warmup) for t in old.trials]
    assert (differences(old, merged) == []) == same


def test_a_pair_that_is_gone_is_few_differences() -> None:
    asked = Campaign.model_validate(
        {
            "name": "changing",
            "guest": {"memory": "64MiB", "working_set": "16MiB"},
            "link": {"bandwidth": "1Gbit/s"},
            "repetitions": "1",
            "warmups": "2",
        }
    )
    lab = dict.fromkeys(("a-b", "c-d", "e-f"), (CAPABILITIES, CAPABILITIES))
    old = make_plan(asked, lab)
    del lab["c-d"]
    pairs = "the list of pairs was a-b, c-d, e-f and is a-b, e-f"
    assert differences(old, merge(old, make_plan(asked, lab), finished=[])) == [
        pairs,
        "the number of trials was 7 and is 5",
        "trial 0003-precopy (a warm-up of c-d) is gone, and 1 more",
    ]
    assert differences(old, merge(old, make_plan(asked, lab), finished=[3, 4])) == [
        pairs,
        "the order of the trials has changed",
    ]
