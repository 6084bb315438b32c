"""Plans that grow: what is added is what would have stood there from the start, and what has grown can be made again."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from labctl.campaign import (
    Campaign,
    Plan,
    PlannedTrial,
    at_most_s,
    differences,
    grown,
    make_plan,
    regrown,
)
from labctl.campaign.growth import last_block
from labctl.campaign.resume import merge
from labctl.lab.fake import CAPABILITIES
from tests import strategies
from tests.unit.test_campaign_models import campaign

PAIRS = ("a-b", "c-d", "e-f")
MATRIX = {"algorithm": ["precopy", "postcopy", "hybrid"], "write_rate": ["0MiB/s", "400MiB/s"]}


def adaptive(least: int = 6, most: int = 60, **parts: Any) -> Campaign:
    until = {"relative_interval": "5%"}
    known: dict[str, Any] = {"matrix": MATRIX, "seed": 1}
    return campaign(**known | {"repetitions": {"until": until, "min": least, "max": most}} | parts)


def lab(count: int) -> dict[str, Any]:
    return dict.fromkeys(PAIRS[:count], (CAPABILITIES, CAPABILITIES))


def placed(trial: PlannedTrial) -> tuple[str, int, str]:
    return trial.cell, trial.block, trial.direction


@st.composite
def adaptive_plans(draw: st.DrawFn) -> tuple[Campaign, Plan]:
    """An adaptive campaign of any shape, on a lab of up to three pairs."""
    data = draw(strategies.campaign_data())
    data["repetitions"] = draw(strategies.adaptive)
    found = Campaign.model_validate(data)
    return found, make_plan(found, lab(draw(st.integers(0, 3))))


def grow(draw: st.DataObject, asked: Campaign, plan: Plan) -> Plan:
    """A plan that has grown a few times, as results might have it."""
    names = [cell.name for cell in plan.cells]
    for _ in range(draw.draw(st.integers(0, 4))):
        cells = draw.draw(st.lists(st.sampled_from(names), unique=True))
        plan = grown(plan, asked, cells, draw.draw(st.integers(1, 3)))
    return plan


# --- properties ---


@given(strategies.campaign_data(), st.integers(0, 3), st.integers(6, 9), st.integers(6, 9))
def test_a_plan_is_the_beginning_of_one_with_more_blocks(
    data: dict[str, Any], pairs: int, one: int, other: int
) -> None:
    few, many = sorted((one, other))
    data["seed"] = data.get("seed", "1")
    until = {"relative_interval": "5%"}
    plans = []
    for least in (few, many):
        data["repetitions"] = {"until": until, "min": str(least)}
        plans.append(make_plan(Campaign.model_validate(data), lab(pairs)).trials)
    assert plans[1][: len(plans[0])] == plans[0]


@given(adaptive_plans(), st.data())
def test_what_is_added_is_what_would_have_stood_there_from_the_start(
    made: tuple[Campaign, Plan], draw: st.DataObject
) -> None:
    asked, plan = made
    found = grow(draw, asked, plan)
    assert asked.adaptive is not None
    whole = asked.adaptive.model_copy(update={"min": asked.adaptive.max})
    seeded = {"repetitions": whole, "seed": asked.order_seed}
    pairs = dict.fromkeys(plan.pairs, (CAPABILITIES, CAPABILITIES))
    from_the_start = make_plan(asked.model_copy(update=seeded), pairs)
    for block in range(last_block(plan) + 1, last_block(found) + 1):
        mine = [placed(trial) for trial in found.trials if trial.block == block]
        cells = {cell for cell, _, _ in mine}
        theirs = [t for t in from_the_start.trials if t.block == block and t.cell in cells]
        assert mine == [placed(trial) for trial in theirs]


@given(adaptive_plans(), st.data())
def test_growing_alters_nothing_and_numbers_on(
    made: tuple[Campaign, Plan], draw: st.DataObject
) -> None:
    asked, plan = made
    found = grow(draw, asked, plan)
    assert found.trials[: len(plan.trials)] == plan.trials
    assert [trial.number for trial in found.trials] == list(range(1, len(found.trials) + 1))
    new = found.trials[len(plan.trials) :]
    assert all(trial.supported and trial.pair is None and not trial.warmup for trial in new)
    assert asked.adaptive is not None
    assert last_block(found) <= max(last_block(plan), asked.adaptive.max)
    twins = {cell.name: cell.twin_of for cell in plan.cells if cell.twin_of}
    for trial in new:
        mates = {t.cell for t in new if t.block == trial.block}
        assert all((twin in mates) == (cell in mates) for twin, cell in twins.items())


@given(adaptive_plans(), st.data())
def test_what_has_grown_is_made_again_and_nothing_has_changed(
    made: tuple[Campaign, Plan], draw: st.DataObject
) -> None:
    asked, plan = made
    found = grow(draw, asked, plan)
    again = regrown(plan, asked, found)
    assert again == found
    finished = draw.draw(st.sets(st.sampled_from([t.number for t in found.trials])))
    merged = merge(found, again, finished, finished)
    assert differences(found, merged) == []
    assert Plan.from_json(found.to_json()) == found


@given(adaptive_plans(), st.data())
def test_what_is_told_of_its_length_is_never_exceeded(
    made: tuple[Campaign, Plan], draw: st.DataObject
) -> None:
    asked, plan = made
    assert asked.adaptive is not None
    most = at_most_s(plan, asked.adaptive)
    assume(
        len(plan.pairs) < 2
    )  # over several pairs, a shorter block may take the place of a longer one
    assert plan.estimate_s <= most + 1e-3
    assert grow(draw, asked, plan).estimate_s <= most + 1e-3


# --- by example ---


def test_only_the_cells_that_are_told_and_as_many_blocks_as_pairs() -> None:
    asked = adaptive()
    plan = make_plan(asked, lab(2))
    found = grown(plan, asked, ["hybrid,write_rate=0MiBps", "precopy,write_rate=400MiBps"], 2)
    new = found.trials[len(plan.trials) :]
    assert [trial.block for trial in new] == [7, 7, 8, 8]
    assert {trial.cell for trial in new} == {"hybrid,write_rate=0MiBps", "precopy,write_rate=400MiBps"}  # fmt: skip
    ways = {(t.cell, t.block): t.direction for t in new}
    assert ways["hybrid,write_rate=0MiBps", 7] != ways["hybrid,write_rate=0MiBps", 8]


def test_the_last_blocks_stop_at_max() -> None:
    asked = adaptive(least=6, most=7)
    plan = make_plan(asked, lab(2))
    once = grown(plan, asked, ["hybrid,write_rate=0MiBps"], 2)
    assert [trial.block for trial in once.trials[len(plan.trials) :]] == [7]
    assert grown(once, asked, ["hybrid,write_rate=0MiBps"], 2) is once


def test_a_twin_comes_along_with_its_cell_only() -> None:
    asked = adaptive(noise={"aa": True, "of": {"algorithm": "hybrid"}})
    plan = make_plan(asked)
    one = grown(plan, asked, ["hybrid,write_rate=0MiBps"], 1).trials[len(plan.trials) :]
    assert {t.cell for t in one} == {"hybrid,write_rate=0MiBps", "hybrid,write_rate=0MiBps,twin"}
    other = grown(plan, asked, ["precopy,write_rate=0MiBps"], 1).trials[len(plan.trials) :]
    assert {t.cell for t in other} == {"precopy,write_rate=0MiBps"}


def test_a_number_that_was_used_on_disk_is_not_used_again() -> None:
    asked = adaptive()
    plan = make_plan(asked)
    new = grown(plan, asked, ["hybrid,write_rate=0MiBps"], 1, used=[3, 99]).trials[-1]
    assert new.number == 100


@pytest.mark.parametrize("quick", [True, False])
def test_what_is_not_adaptive_does_not_grow(quick: bool) -> None:
    asked = adaptive() if quick else campaign(matrix=MATRIX, repetitions=6)
    plan = make_plan(asked, quick=quick)
    assert last_block(plan) == (1 if quick else 6)
    assert grown(plan, asked, [cell.name for cell in plan.cells], 1) is plan
    assert regrown(plan, asked, plan) is plan


def test_a_cell_that_the_campaign_has_no_more_does_not_go_on() -> None:
    """A plan that was changed keeps what has results."""
    asked = adaptive()
    old = make_plan(asked)
    fewer = adaptive(matrix=MATRIX | {"algorithm": ["precopy"]})
    plan = merge(old, make_plan(fewer), finished=[trial.number for trial in old.trials])
    found = grown(plan, fewer, [cell.name for cell in plan.cells], 1)
    assert {t.cell.split(",")[0] for t in found.trials[len(plan.trials) :]} == {"precopy"}


def test_a_cell_that_the_lab_refuses_by_now_does_not_go_on() -> None:
    """Nor where the plan keeps results of it."""
    asked = adaptive()
    old = make_plan(asked, lab(1))
    unable = CAPABILITIES.model_copy(update={"userfaultfd": False})
    new = make_plan(asked, {PAIRS[0]: (unable, unable)})
    plan = merge(old, new, finished=[trial.number for trial in old.trials[:9]])
    found = grown(plan, asked, [cell.name for cell in plan.cells], 1)
    assert {t.cell.split(",")[0] for t in found.trials[len(plan.trials) :]} == {"precopy"}
