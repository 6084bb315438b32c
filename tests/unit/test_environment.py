"""What differs between two environments, and what of that is left out."""

import copy
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.node import describe
from labctl.results.environment import KEYS, Difference, differences, flat

STORED = Path(__file__).parents[1] / "data" / "runs"
OLD = [json.loads(path.read_text()) for path in sorted(STORED.glob("v1/*/environment.json"))]

names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=6)
leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3)  # fmt: skip
environments = st.dictionaries(names, st.recursive(leaves, lambda inner: st.dictionaries(names, inner, max_size=4), max_leaves=12), max_size=4)  # fmt: skip
varying = st.sampled_from([key.path.split(".") for key in KEYS if key.varies])


def at(path: list[str], value: Any) -> dict[str, Any]:
    """An environment with one leaf."""
    for name in reversed(path):
        value = {name: value}
    return dict(value)


def end(**said: Any) -> dict[str, Any]:
    """One in which something is said of an end."""
    return at(["pairs", "a-b", "ends", "a"], said)


@given(environments)
def test_nothing_differs_from_itself(one: dict[str, Any]) -> None:
    assert differences(one, copy.deepcopy(one)) == []


@given(environments, environments)
def test_it_is_the_same_from_the_other_side(one: dict[str, Any], other: dict[str, Any]) -> None:
    found = differences(one, other)
    assert differences(other, one) == [Difference(path, b, a) for path, a, b in found]
    assert [path for path, _, _ in found] == sorted({path for path, _, _ in found})
    assert all(left != right for _, left, right in found)


@given(environments, environments)
def test_each_is_a_leaf_of_one_of_them(one: dict[str, Any], other: dict[str, Any]) -> None:
    ours, theirs = ({".".join(path): value for path, value in flat(data)} for data in (one, other))
    assert differences(one, other) == [
        Difference(path, ours.get(path), theirs.get(path))
        for path in sorted(ours.keys() | theirs.keys())
        if ours.get(path) != theirs.get(path)
    ]


@given(environments, st.data())
def test_one_leaf_that_is_changed_is_all_that_differs(one: dict[str, Any], data: st.DataObject) -> None:  # fmt: skip
    paths = [path for path, _ in flat(one)]
    if not paths:
        return
    path = data.draw(st.sampled_from(paths))
    other = copy.deepcopy(one)
    holder = other
    for name in path[:-1]:
        holder = holder[name]
    before, holder[path[-1]] = holder[path[-1]], "changed it"
    assert differences(one, other) == [Difference(".".join(path), before, "changed it")]


@given(varying, names, leaves, leaves)
def test_what_always_differs_is_left_out(path: list[str], name: str, left: Any, right: Any) -> None:
    path = [name if part == "<name>" else part for part in path]
    assert differences(at(path, left), at(path, right)) == []


@given(names, leaves, leaves)
def test_another_qemu_is_compared_like_the_labs_own(name: str, left: Any, right: Any) -> None:
    def other(value: Any) -> dict[str, Any]:
        loads = {"kvm": {"works": True, "write_bytes_per_s": value}}
        host = {"cpu": {"model": value}}
        return end(qemus={name: {"version": "10.0.2", "accelerators": loads, "host": host}})

    assert differences(other(left), other(right)) == [], "its host is described already"
    found = differences(other(left), end())
    assert {path.removeprefix(f"pairs.a-b.ends.a.qemus.{name}.") for path, *_ in found} == {
        "accelerators.kvm.works",
        "version",
    }


def test_null_and_absent_are_the_same() -> None:
    assert differences({"a": None, "b": {}}, {}) == []
    assert differences({"a": None}, {"a": 0}) == [Difference("a", None, 0)]


def test_every_key_that_varies_is_one_that_a_run_has() -> None:
    assert {"clock", "cpu", "memory", "agent"} <= {
        key.path.split(".")[5] for key in KEYS if key.varies and ".host." in key.path
    }
    assert len({key.path for key in KEYS}) == len(KEYS)


def test_this_host_is_the_same_a_moment_later() -> None:
    # Others may make or remove an interface just then.
    looks = [end(host=describe.describe()) for _ in range(4)]
    assert any(differences(one, other) == [] for one, other in pairwise(looks))


@pytest.mark.parametrize("old", OLD, ids=lambda old: str(old["lab"]))
def test_a_run_from_before_is_compared_by_the_names_of_today(old: dict[str, Any]) -> None:
    assert differences(old, copy.deepcopy(old)) == []
    was = old["pairs"]["a-b"]["ends"]["a"]["host"]
    now = {
        "hostname": was["hostname"],
        "distribution": was["distribution"],
        "agent": {"python": was["python"], "uid": was["uid"]},
        "cpu": {
            "model": was["cpu"], "microcode": "0xnew", "usable": was["cpus"], "load_average": [9],
        },
        "kernel": {"release": was["kernel"], "command_line": was["kernel_command_line"]},
        "memory": {
            "total_bytes": was["memory_bytes"],
            "available_bytes": 1,
            "transparent_hugepages": {"enabled": "madvise"},
            "userfaultfd": {"unprivileged": True},
        },
        "clock": {"anchor": {"monotonic_ns": 5, "realtime_ns": 6}},
    }  # fmt: skip
    new = copy.deepcopy(old)
    new["pairs"]["a-b"]["ends"]["a"]["host"] = now
    prefix = "pairs.a-b.ends.a.host"
    assert differences(old, new) == [
        Difference(f"{prefix}.cpu.microcode", was["microcode"], "0xnew"),
        Difference(f"{prefix}.memory.userfaultfd.unprivileged", False, True),
    ]


@pytest.mark.parametrize("damaged", [{"pairs": None}, {"pairs": []}, {"pairs": {"a": 1}}, at(["pairs", "a", "ends", "b", "host"], 3)])  # fmt: skip
def test_a_damaged_one_is_compared_too(damaged: dict[str, Any]) -> None:
    assert differences(damaged, copy.deepcopy(damaged)) == []
    assert len(differences(damaged, {"lab": "x"})) <= 2
