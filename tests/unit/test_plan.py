"""The plan: a complete block design that is the same for good, and nothing is dropped from it."""

import json
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.campaign import (
    Campaign,
    Capabilities,
    Plan,
    differences,
    estimate_transfer_s,
    expand,
    make_plan,
)
from labctl.campaign.estimate import makespan_s
from labctl.errors import InputError, ResultsError
from tests import strategies
from tests.unit.test_campaign_models import campaign
from tests.unit.test_rules import ABLE, able, cell, variant

GOLDEN: list[tuple[str, int, str]] = [
    ("0001-precopy", 0, "forward"),
    ("0002-precopy", 1, "reverse"),
    ("0003-postcopy", 1, "forward"),
    ("0004-hybrid", 1, "forward"),
    ("0005-precopy", 2, "forward"),
    ("0006-postcopy", 2, "reverse"),
    ("0007-hybrid", 2, "reverse"),
]
MATRIX = {"algorithm": ["precopy", "postcopy", "hybrid"], "write_rate": ["0MiB/s", "400MiB/s"]}


@given(strategies.campaigns(), strategies.capabilities(), strategies.capabilities())
def test_the_design(found: Campaign, one: Capabilities, other: Capabilities) -> None:
    plan = make_plan(found, {"a-b": (one, other)})
    names = [each.name for each in plan.cells]
    cells = [each for each in plan.cells if each.twin_of is None]
    assert [each.model_copy(update={"rdma_provider": None}) for each in cells] == expand(found)
    assert [trial.number for trial in plan.trials] == list(range(1, len(plan.trials) + 1))
    blocks = [trial.block for trial in plan.trials]
    assert blocks == sorted(blocks)
    for block in range(1, found.first_blocks + 1):
        in_block = [trial.cell for trial in plan.trials if trial.block == block]
        assert sorted(in_block) == sorted(names)
    for name in names:
        directions = [t.direction for t in plan.trials if t.cell == name and not t.warmup]
        assert all(first != second for first, second in pairwise(directions))
        assert abs(Counter(directions)["forward"] - Counter(directions)["reverse"]) <= 1
        assert len({t.rule for t in plan.trials if t.cell == name}) == 1
    warmups = [trial for trial in plan.trials if trial.warmup]
    assert all(trial.block == 0 and trial.supported for trial in warmups)
    runnable = any(trial.supported for trial in plan.trials)
    assert len(warmups) == (found.warmups if runnable else 0)
    for trial in plan.trials:
        assert trial.supported == (trial.reason is None) == (trial.estimate_s > 0)


@given(strategies.campaigns())
def test_same_campaign_same_plan_and_json_keeps_it(found: Campaign) -> None:
    plan = make_plan(found)
    again = make_plan(Campaign.model_validate_json(found.model_dump_json()))
    assert again == plan
    assert differences(plan, again) == []
    assert Plan.from_json(plan.to_json()) == plan


def test_the_order_is_this_one_for_good() -> None:
    """A stored plan can be made again by any later version; a change here breaks `--resume`."""
    plan = make_plan(campaign(matrix={"algorithm": MATRIX["algorithm"]}, seed=1, repetitions=2))
    assert [(t.name, t.block, t.direction) for t in plan.trials] == GOLDEN


def test_the_seed_decides_the_order() -> None:
    orders = {
        tuple(t.cell for t in make_plan(campaign(matrix=MATRIX, seed=seed)).trials)
        for seed in range(10)
    }
    assert len(orders) == 10


def test_blocks_differ_in_their_order() -> None:
    plan = make_plan(campaign(matrix=MATRIX, seed=1, repetitions=10))
    orders = {tuple(t.cell for t in plan.trials if t.block == block) for block in range(1, 11)}
    assert len(orders) > 5


def test_every_position_is_as_likely() -> None:
    """Each of 6 cells stands first in about a sixth of 1200 blocks (5 sigma is 64 off 200)."""
    plan = make_plan(campaign(matrix=MATRIX, seed=3, repetitions=1200, warmups=0))
    first = Counter(trial.cell for trial in plan.trials if trial.number % 6 == 1)
    assert all(abs(first[each.name] - 200) < 64 for each in plan.cells)


@given(strategies.campaigns(), st.integers(2, 20))
def test_the_design_over_several_pairs(found: Campaign, count: int) -> None:
    """The same blocks, in the same order. Where pairs take a block each in turn, each runs each cell both ways in turn."""
    pairs = [f"pair{number}" for number in range(count)]
    plan = make_plan(found, dict.fromkeys(pairs, (ABLE, ABLE)))
    alone = make_plan(found, {"a-b": (ABLE, ABLE)})
    assert plan.pairs == tuple(sorted(pairs))
    assert [(t.cell, t.block, t.rule) for t in plan.trials if t.block] == [
        (t.cell, t.block, t.rule) for t in alone.trials if t.block
    ]
    warmups = [(t.cell, t.direction) for t in alone.trials if t.warmup]
    for pair in pairs:
        assert [(t.cell, t.direction) for t in plan.trials if t.pair == pair] == warmups
    assert all(trial.pair is None for trial in plan.trials if not trial.warmup)
    for each in plan.cells:
        directions = [t.direction for t in plan.trials if t.cell == each.name and not t.warmup]
        for first in range(count):
            assert all(one != other for one, other in pairwise(directions[first::count]))
        assert abs(Counter(directions)["forward"] - Counter(directions)["reverse"]) <= 1


def test_a_plan_is_as_long_as_its_busiest_pair() -> None:
    found = campaign(matrix=MATRIX, repetitions=3, warmups=2)

    def of(count: int) -> Plan:
        return make_plan(found, {f"pair{n}": (ABLE, ABLE) for n in range(count)})

    def seconds(block: int) -> float:
        return sum(trial.estimate_s for trial in of(1).trials if trial.block == block)

    assert of(1).estimate_s == pytest.approx(seconds(0) + 3 * seconds(1))
    assert of(2).estimate_s == pytest.approx(seconds(0) + 2 * seconds(1))
    assert of(3).estimate_s == of(9).estimate_s == pytest.approx(seconds(0) + seconds(1))
    assert make_plan(found).estimate_s == of(1).estimate_s


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8), st.lists(st.floats(0, 100)))
def test_a_makespan_is_within_its_bounds(ahead: list[float], blocks: list[float]) -> None:
    found = makespan_s(ahead, blocks)
    mean = sum([*ahead, *blocks]) / len(ahead)
    assert max([mean, *ahead]) - 1e-6 <= found <= mean + max([*ahead, *blocks]) + 1e-6


def test_what_is_left() -> None:
    """A pair that was lost in its warm-up leaves nothing to be done when the others have done the rest."""
    pairs = {"a-b": (ABLE, ABLE), "c-d": (ABLE, able(userfaultfd=False))}
    plan = make_plan(campaign(matrix=MATRIX, repetitions=1), pairs)
    assert [t.cell for t in plan.trials if t.warmup] == ["precopy,write_rate=0MiBps"] * 2
    runs = [trial.number for trial in plan.trials if trial.supported]
    assert [trial.number for trial in plan.left([])] == runs
    assert [trial.number for trial in plan.left(runs[1:-1])] == [runs[0], runs[-1]]
    assert plan.left(runs[1:]) == []


def test_a_trial_matches_by_its_cell_or_its_name() -> None:
    first = make_plan(campaign()).trials[0]
    assert [first.matches(p) for p in (None, "pre*", "0001-*", "2*", "0001")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_a_twin_is_run_in_each_block_and_stands_behind_its_cell() -> None:
    asked = campaign(matrix=MATRIX, noise={"aa": True}, repetitions=4, seed=1)
    plan = make_plan(asked)
    first, second = plan.cells[:2]
    assert (first.name, second.name) == ("precopy,write_rate=0MiBps", f"{first.name},twin")
    assert (first.twin_of, second.twin_of) == (None, first.name)
    assert second.model_copy(update={"name": first.name, "twin_of": None}) == first
    twins = [trial for trial in plan.trials if trial.cell == second.name]
    assert [trial.block for trial in twins] == [1, 2, 3, 4]
    assert {trial.direction for trial in twins} == {"forward", "reverse"}
    assert {trial.estimate_s for trial in twins} == {plan.trials[0].estimate_s}
    others = [(t.cell, t.block, t.direction) for t in plan.trials if t.cell != second.name]
    alone = make_plan(campaign(matrix=MATRIX, repetitions=4, seed=1))
    assert others == [(t.cell, t.block, t.direction) for t in alone.trials], "it moves no other"


@pytest.mark.parametrize(
    ("of", "able_to", "original"),
    [
        ({}, True, "precopy,write_rate=0MiBps"),
        ({"write_rate": "400MiB/s"}, True, "precopy,write_rate=400MiBps"),
        ({"guest.write_rate": "409600KiB/s", "algorithm": "hybrid"}, True, "hybrid,write_rate=400MiBps"),
        ({"algorithm": "hybrid"}, False, "hybrid,write_rate=0MiBps"),
        ({"write_rate": "400MiB/s"}, False, "precopy,write_rate=400MiBps"),
    ],
)  # fmt: skip
def test_the_twin_is_of_the_first_cell_that_is_meant_and_can_run(
    of: dict[str, str], able_to: bool, original: str
) -> None:
    """Where none that is meant can run, its twin is refused too, and says why."""
    asked = campaign(matrix=MATRIX, noise={"aa": True, "of": of})
    able_host = able(userfaultfd=able_to)
    plan = make_plan(asked, {"p": (able_host, able_host)})
    (twin,) = [each for each in plan.cells if each.twin_of]
    assert twin.twin_of == original
    rules = [{t.rule for t in plan.trials if t.cell == n} for n in (original, twin.name)]
    assert rules[0] == rules[1]
    assert not any(t.warmup and t.cell == twin.name for t in plan.trials)


def test_the_first_cell_that_can_run_has_the_twin() -> None:
    matrix = {"algorithm": ["postcopy", "precopy"]}
    asked = campaign(matrix=matrix, noise={"aa": True})
    plan = make_plan(asked, {"p": (ABLE, able(userfaultfd=False))})
    assert [each.twin_of for each in plan.cells] == [None, None, "precopy"]


def test_plans_of_older_versions_are_read() -> None:
    """Version 2 knew of no twins, and an older labctl does not take them for nothing."""
    plan = make_plan(campaign(matrix=MATRIX))
    data = json.loads(plan.to_json())
    assert data["schema_version"] == 3
    for each in data["cells"]:
        del each["twin_of"]
    data["schema_version"] = 2
    assert Plan.from_json(json.dumps(data)) == plan


def test_quick_is_one_repetition_without_warm_up() -> None:
    plan = make_plan(campaign(matrix=MATRIX, warmups=2), quick=True)
    assert plan.quick
    assert [trial.block for trial in plan.trials] == [1] * 6


def test_warm_ups_are_the_first_cells_that_can_run() -> None:
    pairs = {"p": (able(userfaultfd=False), able(userfaultfd=False))}
    plan = make_plan(campaign(matrix=MATRIX, warmups=3), pairs)
    assert [trial.cell for trial in plan.trials[:3]] == [
        "precopy,write_rate=0MiBps",
        "precopy,write_rate=400MiBps",
        "precopy,write_rate=0MiBps",
    ]


def test_what_is_refused_stays_in_the_plan() -> None:
    plan = make_plan(campaign(matrix=MATRIX), {"p": (ABLE, able(userfaultfd=False))})
    refused = [trial for trial in plan.trials if not trial.supported]
    assert len(refused) == 4 * 3
    assert {(trial.rule, trial.reason) for trial in refused} == {
        ("userfaultfd", "the destination may not use userfaultfd")
    }
    assert plan.estimate_s == pytest.approx(sum(t.estimate_s for t in plan.trials if t.supported))


def test_any_pair_in_any_direction_can_refuse() -> None:
    pairs = {"good": (ABLE, ABLE), "bad": (able(userfaultfd=False), ABLE)}
    plan = make_plan(campaign(algorithm="postcopy"), pairs)
    assert {trial.reason for trial in plan.trials} == {
        "bad: the destination may not use userfaultfd (in reverse)"
    }


def test_differences_are_said() -> None:
    old = make_plan(campaign(matrix=MATRIX, seed=1))
    same = make_plan(campaign(matrix=MATRIX, seed=1), {"p": (ABLE, ABLE)})
    assert differences(old, same) == []
    faster = make_plan(campaign(matrix=MATRIX, seed=1, link={"bandwidth": "2Gbit/s"}))
    bandwidth = "link.bandwidth_bits_per_s was 1000000000 and is 2000000000"
    assert f"cell precopy,write_rate=0MiBps: {bandwidth}" in differences(old, faster)
    fewer = make_plan(campaign(matrix={"algorithm": ["precopy"]}, seed=1))
    said = differences(old, fewer)
    assert "cell precopy is new" in said
    assert "cell hybrid,write_rate=0MiBps is gone" in said
    assert "the number of trials was 19 and is 4" in said
    unable = make_plan(campaign(matrix=MATRIX, seed=1), {"p": (ABLE, able(userfaultfd=False))})
    assert any("rule was None and is userfaultfd" in line for line in differences(old, unable))


def test_differences_of_a_quick_run() -> None:
    full = campaign(matrix=MATRIX, seed=1)
    assert "quick was True and is False" in differences(
        make_plan(full, quick=True), make_plan(full)
    )


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "3", '{"schema_version": 2}', '{"schema_version": 4}', "{"]
)
def test_a_plan_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ResultsError, match=r"plan\.json: this is not a plan"):
        Plan.from_json(text)


def test_a_cell_by_its_name() -> None:
    plan = make_plan(campaign())
    assert plan.cell("precopy") == plan.cells[0]
    with pytest.raises(InputError):
        plan.cell("hybrid")


def test_estimates_follow_the_formula() -> None:
    memory_over_link = 256 * 2**20 / 125e6
    working_set_over_link = 64 * 2**20 / 125e6
    fast = {"matrix": {"write_rate": ["400MiB/s"]}}
    assert estimate_transfer_s(cell()) == pytest.approx(memory_over_link)
    assert estimate_transfer_s(cell(**fast)) == 60.0
    assert estimate_transfer_s(cell(algorithm="postcopy", **fast)) == pytest.approx(
        memory_over_link
    )
    assert estimate_transfer_s(cell(algorithm="stop_and_copy")) == pytest.approx(memory_over_link)
    assert estimate_transfer_s(cell(algorithm="hybrid", **fast)) == pytest.approx(
        memory_over_link + working_set_over_link
    )
    far = {"bandwidth": "10Gbit/s", "delay": "50ms"}
    window_each_round_trip = 3 * 2**20 / 0.1002
    assert estimate_transfer_s(cell(link=far)) == pytest.approx(
        256 * 2**20 / window_each_round_trip
    )
    lossy = 256 * 2**20 / ((1.5 / 0.01) ** 0.5 * 1448 / 0.1002)
    assert estimate_transfer_s(
        cell(link={**far, "loss": "1%"}, algorithm="postcopy")
    ) == pytest.approx(lossy)
    slow = variant(kind="precopy", max_bandwidth="10MiB/s")
    assert estimate_transfer_s(slow) == pytest.approx(25.6)
    half = cell(matrix={"write_rate": ["62.5MB/s"]})
    assert estimate_transfer_s(half) == pytest.approx(memory_over_link + 2 * working_set_over_link)
    small = cell(matrix={"working_set": ["4MiB"], "write_rate": ["1GiB/s"]})
    assert estimate_transfer_s(small) < 3
    zero = cell(guest={"memory": "256MiB", "working_set": "64MiB", "fill": "zero"})
    assert estimate_transfer_s(zero) == pytest.approx(working_set_over_link)
