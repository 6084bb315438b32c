"""Each golden case: what is asked, and the whole schedule that comes of it."""

import json
from pathlib import Path

import pytest

from labctl.campaign.factors import scalar_fields
from labctl.campaign.option_rules import OPTION_RULES
from labctl.campaign.specs import BUILT_IN_NAMES, AlgorithmSpec
from labctl.migration import ALGORITHMS
from labctl.migration.schedule import ENDS, URI
from tests.golden.compiled import cases, cell, compiled, parts


@pytest.mark.parametrize("path", cases(), ids=lambda path: path.stem)
def test_the_schedule_is_the_golden_one(path: Path) -> None:
    fragment, schedule = parts(path)
    assert compiled(fragment) == schedule, (
        "when the change is meant: `python -m tests.golden`, and read the diff"
    )


def test_every_kind_has_a_case() -> None:
    kinds = {cell(parts(path)[0]).algorithm.kind for path in cases()}
    assert kinds == set(ALGORITHMS) == set(BUILT_IN_NAMES)


def test_every_option_has_a_case() -> None:
    given = [cell(parts(path)[0]).algorithm for path in cases()]
    for option in scalar_fields("algorithm", AlgorithmSpec):
        default = AlgorithmSpec.model_fields[option.inside or option.field].default
        holders = [getattr(spec, option.inside) for spec in given] if option.inside else given
        values = {getattr(holder, option.field) for holder in holders}
        rest = getattr(default, option.field) if option.inside else default
        assert values - {rest}, f"no case sets {option.key}"


def test_no_case_asks_for_what_has_no_use() -> None:
    for path in cases():
        asked = cell(parts(path)[0])
        assert [rule.id for rule in OPTION_RULES if rule.check(asked, None, None)] == []


def test_a_changed_option_changes_its_schedule() -> None:
    """The comparison can fail."""
    hybrid = "algorithm: asked\nalgorithms: {asked: {kind: hybrid, switch: {after_passes: %d}}}"
    assert compiled(hybrid % 2) != compiled(hybrid % 1)


@pytest.mark.parametrize("path", cases(), ids=lambda path: path.stem)
def test_what_holds_for_every_schedule(path: Path) -> None:
    _, schedule = parts(path)
    source, destination = schedule["source"], schedule["destination"]
    assert source["start"][-1]["execute"] == "migrate"
    assert URI not in json.dumps([source, destination]), "the address was filled in"
    assert destination["start"] == []
    for part in (source, destination):
        assert part["ends"] == list(ENDS)
        names = [rule["name"] for rule in part["rules"]]
        assert len(set(names)) == len(names)
        for rule in part["rules"]:
            assert set(rule["unless"]) <= set(names)
    limits = [rule for rule in source["rules"] if rule["name"] == "limit"]
    assert [rule["do"][0]["execute"] for rule in limits] == ["migrate_cancel"]
    assert limits[0]["when"]["elapsed_s"] < source["hard_limit_s"]
    switches = [rule for rule in source["rules"] if rule["name"] == "switch"]
    for rule in switches:
        assert rule["unless"] == ["limit"]
        assert limits[0]["unless"] == ["switch"], "after the switch nothing is ever cancelled"
        assert schedule["capabilities"]["postcopy-ram"] is True
    stops = [*source["start"], *(step for rule in source["rules"] for step in rule["do"])]
    if "stop" in [step["execute"] for step in stops]:
        assert [rule["name"] for rule in destination["rules"]] == ["resume"]
        assert "resume" in [rule["name"] for rule in source["rules"]]
    assert schedule["capabilities"]["events"] is True
