"""Which hosts of an inventory make a pair, and what is wrong with one that says it wrongly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.errors import InputError
from labctl.lab.pairing import VARIABLES, PairSpec, check_variables, pairs_of
from labctl.lab.reference import inventory_page

Variables = dict[str, dict[str, Any]]


def pairs(
    hypervisors: Sequence[str], variables: Variables | None = None, observers: Sequence[str] = ()
) -> tuple[PairSpec, ...]:
    said = variables or {}
    for host in (*hypervisors, *observers):
        check_variables(host, said.get(host, {}), "inventory.yml")
    return pairs_of(hypervisors, observers, said, "inventory.yml")


def test_hosts_are_paired_two_by_two_in_their_order() -> None:
    assert pairs(["a", "b", "c", "d"]) == (PairSpec("a-b", "a", "b"), PairSpec("c-d", "c", "d"))


def test_a_pair_may_be_named() -> None:
    named: Variables = {"a": {"labctl_pair": "far"}, "d": {"labctl_pair": "far"}}
    assert pairs(["a", "b", "c", "d"], named) == (
        PairSpec("far", "a", "d"),
        PairSpec("b-c", "b", "c"),
    )


def test_observers_take_turns_unless_one_is_named() -> None:
    named: Variables = {"c": {"labctl_observer": "y"}}
    found = pairs(["a", "b", "c", "d", "e", "f"], named, ["x", "y"])
    assert [pair.observer for pair in found] == ["x", "y", "x"]


def test_a_hypervisor_is_no_observer_of_its_own() -> None:
    """The group's default: each trial's destination."""
    assert [pair.observer for pair in pairs(["a", "b"], observers=["a", "b"])] == [None]


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=4), unique=True, max_size=12))
def test_every_host_is_in_one_pair(hosts: list[str]) -> None:
    if len(hosts) % 2:
        with pytest.raises(InputError, match="has no other host"):
            pairs(hosts)
        return
    found = pairs(hosts)
    assert [host for pair in found for host in (pair.a, pair.b)] == hosts
    assert len({pair.name for pair in found}) == len(found)


WRONG: list[tuple[Variables, str, str]] = [
    ({"a": {"labctl_pair": "far"}}, "labctl_pair far is said of 1 host", "give the name to two"),
    ({"a": {"labctl_par": "x"}}, "a: there is no variable labctl_par", "did you mean labctl_pair"),
    ({"a": {"labctl_nonsense": 1}}, "a: there is no variable", "labctl reads labctl_pair, "),
    (
        {"b": {"labctl_migration_address": "10.0.0.1"}},
        "b: labctl_migration_address cannot be '10.0.0.1': it lacks its prefix length",
        "its address with prefix length",
    ),
    ({"b": {"labctl_migration_address": "10.0.0/24"}}, "cannot be '10.0.0/24'", "its address"),
    ({"b": {"labctl_address": "somewhere"}}, "b: labctl_address cannot be", "its address"),
    ({"b": {"labctl_user": 7}}, "b: labctl_user cannot be 7: write a name", "whom QEMU runs as"),
    *(
        (
            {"b": {"labctl_patience": value}},
            f"b: labctl_patience cannot be {value!r}: write a number from 1 to 100",
            "how many times longer",
        )
        for value in (0.5, 101, "long", True, None)
    ),
    (
        {"a": {"labctl_observer": "watchr"}},
        "a: labctl_observer watchr is no host of the group",
        "did you mean watcher?",
    ),
]


@pytest.mark.parametrize(("variables", "fault", "mend"), WRONG)
def test_what_is_wrong_names_host_variable_and_mend(
    variables: Variables, fault: str, mend: str
) -> None:
    with pytest.raises(InputError, match=r"^inventory\.yml: ") as told:
        pairs(["a", "b"], variables, ["watcher"])
    assert fault in told.value.fault
    assert mend in (told.value.mend or "")


def test_each_variable_says_what_it_is() -> None:
    assert all(name.startswith("labctl_") and meaning for name, (_, meaning) in VARIABLES.items())


def test_the_reference_page_is_what_the_code_says() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "inventory.md"
    assert page.read_text() == inventory_page(), "python -m labctl.lab.reference > " + str(page)
