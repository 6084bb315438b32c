"""Each golden case: what is asked, and the whole schedule that comes of it."""

import json
from pathlib import Path

import pytest

from labctl.campaign import Campaign
from labctl.campaign.specs import BUILT_IN_NAMES
from labctl.migration import ALGORITHMS
from labctl.migration.schedule import ENDS, URI
from tests.golden.cases import cases, compiled


@pytest.mark.parametrize("path", cases(), ids=lambda path: path.stem)
def test_the_schedule_is_the_golden_one(path: Path) -> None:
    golden = json.loads(path.read_text())
    assert compiled(golden["case"]) == golden["schedule"], (
        "when the change is meant: `python -m tests.golden`, and read the diff"
    )


def test_every_kind_has_a_case() -> None:
    kinds = {json.loads(path.read_text())["case"]["algorithm"]["kind"] for path in cases()}
    assert kinds == set(ALGORITHMS) == set(BUILT_IN_NAMES)


def test_a_changed_option_changes_its_schedule() -> None:
    """The comparison can fail."""
    plain = compiled({"algorithm": {"kind": "hybrid"}})
    assert compiled({"algorithm": {"kind": "hybrid", "switch_after_passes": "2"}}) != plain


@pytest.mark.parametrize("path", cases(), ids=lambda path: path.stem)
def test_what_holds_for_every_schedule(path: Path) -> None:
    schedule = json.loads(path.read_text())["schedule"]
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
    assert schedule["capabilities"]["events"] is True


def test_a_case_is_a_campaigns_fragment() -> None:
    for path in cases():
        case = json.loads(path.read_text())["case"]
        assert set(case) <= {"algorithm", "limits"}
        assert set(case) <= {"algorithm", *Campaign.model_fields}
