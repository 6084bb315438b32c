"""A record survives a round trip whole; what cannot be read says so."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.errors import ResultsError
from labctl.results import schema
from labctl.results.schema import Outcome, TrialRecord, Verdict, parse_record
from tests.synthetic import record

keys = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)  # fmt: skip
json_values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8)  # fmt: skip
unknown = st.dictionaries(keys.map("x_".__add__), json_values, max_size=4)


@given(unknown, unknown, unknown, st.sampled_from(Outcome), st.none() | st.sampled_from(Verdict))
def test_a_record_survives_a_round_trip_whole(
    top: dict[str, Any],
    inner: dict[str, Any],
    deep: dict[str, Any],
    outcome: Outcome,
    verdict: Verdict | None,
) -> None:
    data = json.loads(record(outcome=outcome, verdict=verdict).to_json())
    data |= top
    data["times"] |= inner
    data["clocks"]["anchors"] = {"observer": [{"monotonic_ns": 1, "realtime_ns": 2, **deep}]}
    data["qemu"] = {"source": {"version": "7.2", **deep}}
    data["figures"] = {"blackout_ms": 1.5, "passes": 3, "switched": True, "x": "text", "n": None}
    once = parse_record(json.dumps(data), place="trial.json").to_json()
    assert json.loads(once) == json.loads(parse_record(once, place="trial.json").to_json())
    kept = json.loads(once)
    assert {key: kept[key] for key in top} == top
    assert {key: kept["times"][key] for key in inner} == inner
    assert {key: kept["clocks"]["anchors"]["observer"][0][key] for key in deep} == deep
    assert {key: kept["qemu"]["source"][key] for key in deep} == deep
    assert kept["figures"] == data["figures"]
    assert [type(value) for value in kept["figures"].values()] == [
        float,
        int,
        bool,
        str,
        type(None),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ("{}", "says no schema_version"),
        ('{"schema_version": true}', "says no schema_version"),
        ('{"schema_version": 2}', "reads up to 1"),
        ('{"schema_version": 1}', "`number`"),
    ],
)
def test_what_is_no_record_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ResultsError, match=said) as caught:
        parse_record(text, place="runs/a/trials/0001-b/trial.json")
    assert str(caught.value).startswith("runs/a/trials/0001-b/trial.json: ")
    assert "mend:" in str(caught.value)


def test_an_unknown_outcome_is_told_not_guessed() -> None:
    data = json.loads(record().to_json()) | {"outcome": "splendid"}
    with pytest.raises(ResultsError, match="`outcome`"):
        parse_record(json.dumps(data), place="trial.json")


def test_an_old_version_is_lifted_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps, as version 3 would read a record of version 1."""
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 3)
    monkeypatch.setitem(schema.UPGRADES, 1, lambda old: {**old, "steps": ["1 to 2"]})
    monkeypatch.setitem(schema.UPGRADES, 2, lambda old: {**old, "steps": [*old["steps"], "2 to 3"]})
    lifted = parse_record(record().to_json(), place="trial.json")
    assert lifted.schema_version == 3
    assert lifted.model_dump()["steps"] == ["1 to 2", "2 to 3"]
    monkeypatch.delitem(schema.UPGRADES, 2)
    with pytest.raises(ResultsError, match="no longer read"):
        parse_record(record().to_json(), place="trial.json")


def test_a_value_of_the_cell_that_is_not_there_is_none() -> None:
    assert record().asked("guest", "vcpus") == 1
    assert record().asked("guest", "colour") is None
    assert record(spec={}).asked("guest", "vcpus") is None


def test_every_outcome_and_verdict_is_explained() -> None:
    assert set(schema.OUTCOMES) == set(Outcome)
    assert set(schema.VERDICTS) == set(Verdict)


def test_a_stored_record_of_version_1_loads() -> None:
    """As the first version wrote it: kept by hand, never regenerated."""
    text = (
        '{"schema_version": 1, "number": 3, "name": "0003-hybrid", "cell": "hybrid", "block": 1,'
        ' "campaign": "c", "run": "c-20260101T000000Z", "outcome": "completed",'
        ' "verdict": "on_destination", "spec": {"transport": "tcp"},'
        ' "times": {"entered": {"baseline": 5}, "migrate_start_ns": 7, "migrate_end_ns": 9},'
        ' "links": {"migration": {"asked_bits_per_s": 1000000000}}, "figures": {"passes": 2}}'
    )
    read = parse_record(text, place="trial.json")
    assert isinstance(read, TrialRecord)
    assert (read.number, read.verdict, read.times.migrate_end_ns) == (3, "on_destination", 9)
    assert read.links["migration"].asked_bits_per_s == 10**9
