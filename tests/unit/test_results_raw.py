"""Tables: from the node's binary to a frame, to a file, and back."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.errors import ResultsError
from labctl.results import raw
from labctl.results.columns import SAMPLES
from tests.synthetic import Guest


def packed(work: list[list[int]]) -> bytes:
    vcpus = len(work[0])
    rows = [(i, 0, 2, vcpus, 0, i, 2**63 + i, counters) for i, counters in enumerate(work)]
    return np.array(rows, raw.beat_dtype(vcpus)).tobytes()


def test_a_beat_is_packed_without_padding() -> None:
    assert [raw.beat_dtype(vcpus).itemsize for vcpus in (1, 2, 8)] == [28, 32, 56]


@given(
    st.integers(1, 4).flatmap(
        lambda vcpus: st.lists(
            st.lists(st.integers(0, 2**31 - 1), min_size=vcpus, max_size=vcpus),
            min_size=1,
            max_size=30,
        )
    ),
    st.integers(0, 2**32 - 1),
)
def test_unwrapping_gives_back_what_the_guest_counted(steps: list[list[int]], start: int) -> None:
    """Counters modulo 2^32, each step below 2^31, from any start."""
    true = np.cumsum(np.array([[start] * len(steps[0]), *steps], dtype=np.int64), axis=0)
    frame = raw.beats_frame(packed((true % 2**32).tolist()), len(steps[0]))
    for vcpu in range(len(steps[0])):
        assert frame[f"work{vcpu}"].tolist() == true[:, vcpu].tolist()


def test_a_counter_that_went_backwards_stays_visible() -> None:
    assert raw.unwrap(np.array([10, 4, 6], "<u4")).tolist() == [10, 4, 6]


def test_beats_are_put_in_order_of_arrival_and_survive_parquet(tmp_path: Path) -> None:
    guest = Guest(vcpus=2)
    guest.run(10_000_000, 1000)
    guest.run(10_000_000, 1000, "destination")
    guest.rows.reverse()
    frame = guest.frame()
    assert frame["t_ns"].is_monotonic_increasing
    assert frame["side"].tolist() == ["source"] * 20 + ["destination"] * 20
    assert list(frame.columns) == ["t_ns", "side", "seq", "tsc", "phase", "work0", "work1"]
    assert [str(kind) for kind in frame.dtypes] == [
        "int64", "category", "int64", "uint64", "uint8", "int64", "int64",
    ]  # fmt: skip
    path = tmp_path / "beats.parquet"
    path.write_bytes(raw.to_parquet(frame))
    pd.testing.assert_frame_equal(raw.from_parquet(path), frame)
    assert raw.from_parquet(path, ["seq"]).columns.tolist() == ["seq"]


@pytest.mark.parametrize("data", [b"x", packed([[1, 2]]) + b"0"])
def test_bytes_that_are_not_whole_beats_are_refused(data: bytes) -> None:
    with pytest.raises(ResultsError, match="whole records"):
        raw.beats_frame(data, 1)


def test_beats_of_another_machine_are_refused() -> None:
    with pytest.raises(ResultsError, match="1 vCPU"):
        raw.beats_frame(packed([[1, 2, 3, 4, 5, 6, 7, 8]]), 1)


def test_no_beats_are_an_empty_table() -> None:
    frame = raw.no_beats(3)
    assert len(frame) == 0
    assert "work2" in frame


def test_samples_have_every_column_and_keep_unknown_ones(tmp_path: Path) -> None:
    big = 2**62 + 1  # an int that a float would round
    frame = raw.samples_frame(
        [
            {"kind": "migrate", "side": "source", "request_ns": big, "raw": {"status": "active"}},
            {"kind": "host", "side": "destination", "threads": {"main": [1, 2]}, "pressure": 0.5},
        ]
    )
    assert frame.columns.tolist() == [c.name for c in SAMPLES] + ["pressure"]
    assert frame["request_ns"][0] == big
    assert frame["raw"][0] == '{"status":"active"}'
    assert pd.isna(frame["mbps"]).all()
    path = tmp_path / "samples.parquet"
    path.write_bytes(raw.to_parquet(frame, note="a note"))
    pd.testing.assert_frame_equal(raw.from_parquet(path), frame)
    assert raw.parquet_metadata(path, "note") == "a note"
    assert raw.parquet_metadata(path, "schema_version") == "1"
    assert raw.parquet_metadata(path, "other") is None


def test_no_samples_are_an_empty_table() -> None:
    assert raw.samples_frame([]).columns.tolist() == [c.name for c in SAMPLES]


def test_damaged_missing_and_newer_parquet_files_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "beats.parquet"
    with pytest.raises(ResultsError, match="cannot be read"):
        raw.from_parquet(path)
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(ResultsError, match=r"beats\.parquet: cannot be read"):
        raw.from_parquet(path)
    with monkeypatch.context() as patched:
        patched.setattr(raw, "SCHEMA_VERSION", 9)
        path.write_bytes(raw.to_parquet(raw.no_beats()))
    with pytest.raises(ResultsError, match="schema version 9; this labctl reads up to 1"):
        raw.from_parquet(path)


def test_events_survive_a_round_trip(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = [
        {"t_ns": 2, "side": "source", "kind": "qmp", "name": "STOP", "data": {}},
        {"t_ns": 1, "side": "controller", "kind": "state", "name": "boot", "extra": [1, None]},
    ]
    path = tmp_path / "events.jsonl"
    path.write_bytes(raw.events_to_jsonl(events))
    assert raw.events_from_jsonl(path) == events
    assert '"schema_version": 1' in path.read_text().splitlines()[0]
    path.write_text("[]\n")
    with pytest.raises(ResultsError, match="not an object"):
        raw.events_from_jsonl(path)
    path.write_text("{\n")
    with pytest.raises(ResultsError, match="cannot be read"):
        raw.events_from_jsonl(path)
