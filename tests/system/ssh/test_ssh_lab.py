"""Campaigns on real hosts over SSH: the same as on the embedded lab."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.bench import campaign
from tests.system.rack import PAIR, ran

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.root,
    pytest.mark.qemu,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

KINDS = campaign(
    name="kinds",
    guest={"memory": "128MiB", "working_set": "64MiB"},
    matrix={
        "algorithm": ["stop_and_copy", "precopy", "postcopy", "hybrid"],
        "write_rate": ["0MiB/s", "400MiB/s"],
    },
    link={"bandwidth": "1Gbit/s"},
    limits={"total_time": "6s"},
)


def test_the_same_as_on_the_embedded_lab(pair: str, state_root: Path, tmp_path: Path) -> None:
    """Same schema, same orderings, every kind of algorithm."""
    there, here = ran(KINDS, pair, tmp_path / "there"), ran(KINDS, "local", tmp_path / "here")
    frames = [run.frame().set_index("cell") for run in (there, here)]
    assert list(frames[0].columns) == list(frames[1].columns)
    keys = [
        {key for trial in run.trials() for key in shape(trial.record.model_dump())}
        for run in (there, here)
    ]
    assert keys[0] == keys[1] | {("clocks", "offsets", side) for side in SIDES}
    for frame in frames:
        slow = frame[frame["write_rate"].astype(str) == "400MiB/s"]
        outcomes = frame["outcome"].astype(str)
        assert outcomes.drop("precopy,write_rate=400MiBps").eq("completed").all(), outcomes
        assert outcomes["precopy,write_rate=400MiBps"] == "not_converged"
        assert frame["memory_identical"].dropna().astype(bool).all()
        time_ms = slow.set_index("algorithm")["total_time_ms"]
        blackout_ms = slow.set_index("algorithm")["blackout_ms"]
        assert time_ms["postcopy"] < time_ms["hybrid"]
        assert blackout_ms["postcopy"] < blackout_ms["stop_and_copy"]
        assert blackout_ms["hybrid"] < blackout_ms["stop_and_copy"]
        exposure_s = slow.set_index("algorithm")["exposure_s"]
        assert exposure_s["postcopy"] > exposure_s["hybrid"] > exposure_s["stop_and_copy"] == 0
        assert (frame["beats_lost"] == 0).all()
    assert {str(way) for way in frames[0]["direction"]} == {"forward", "reverse"}


SIDES = ("controller", "source", "destination")


def shape(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The keys of a record, down to what QEMU's own replies and figures hold."""
    whole = {"parameters_in_force", "capabilities_in_force", "counters_before", "counters_after"}
    if not isinstance(value, dict) or (path[-1:] and path[-1] in whole) or len(path) > 2:
        yield path
        return
    for key, inner in value.items():
        yield from shape(inner, (*path, key))


def test_clocks_are_compared_as_surely_as_is_said(pair: str, tmp_path: Path) -> None:
    """These hosts share one clock: what is found must be nothing, within what it is said to be sure."""
    run = ran(campaign(matrix={"algorithm": ["postcopy"]}, repetitions=2), pair, tmp_path)
    for trial in run.trials():
        clocks = trial.record.clocks
        assert not clocks.one_clock
        for side in SIDES:
            for found in clocks.offsets[side]:
                assert abs(found.offset_ns) <= found.uncertainty_ns, (side, found)
        assert clocks.offsets["source"][0].uncertainty_ns < 1_000_000
        assert trial.record.figures["switchover_ms"] is not None


def test_what_the_hosts_are_is_stored(pair: str, tmp_path: Path) -> None:
    run = ran(campaign(matrix={"algorithm": ["postcopy"]}), pair, tmp_path)
    ends = json.loads((run.path / "environment.json").read_text())["pairs"]["h1-h2"]["ends"]
    assert set(ends) == set(PAIR)
    for host, end in ends.items():
        assert end["host"]["hostname"] == host
        assert end["interface"] == "mig0"
        assert end["version"]
        assert {"cpu", "kernel", "memory", "tuning", "network", "clock"} <= set(end["host"])
        assert "mig0" in json.dumps(end["host"]["network"])
        assert abs(end["clock"]["ahead_of_controller_ms"]) <= end["clock"]["uncertainty_ms"]
