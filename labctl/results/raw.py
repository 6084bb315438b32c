"""The tables of a trial: from the node's binary to a frame, and from a frame to a file and back.

Arrow works in the caller's thread: its pools are not worth their start for tables of this size, and a command that ends
while they do was seen to abort. Every frame has the columns of `labctl.results.columns`; columns that a newer version wrote are kept.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from labctl.errors import ResultsError
from labctl.results.columns import SAMPLES, Column
from labctl.results.schema import SCHEMA_VERSION

SIDES = ("source", "destination")
PHASE_RUN = 2
PAGE_BYTES = 4096
"""The unit of the guest's work."""

_VERSION_KEY = b"labctl.schema_version"
_DTYPES = {
    "int": "Int64", "uint": "UInt64", "float": "Float64", "bool": "boolean", "text": "string",
}  # fmt: skip


def beat_dtype(vcpus: int) -> np.dtype[np.void]:
    """One beat as the node packs it: little endian, without padding; `side` indexes SIDES."""
    return np.dtype(
        [
            ("t_ns", "<i8"),
            ("side", "u1"),
            ("phase", "u1"),
            ("vcpus", "u1"),
            ("pad", "u1"),
            ("seq", "<u4"),
            ("tsc", "<u8"),
            ("work", "<u4", (vcpus,)),
        ]
    )


def beats_frame(data: bytes, vcpus: int) -> pd.DataFrame:
    """Packed beats (`beat_dtype(vcpus)` records) as a table in order of arrival.

    The guest counts modulo 2^32; here the counters are unwrapped. A counter that went backwards
    stays visible as such.

    Raises:
        ResultsError: the bytes are not whole beats of that many vCPUs.
    """
    dtype = beat_dtype(vcpus)
    if len(data) % dtype.itemsize:
        raise ResultsError(
            f"{len(data)} bytes of beats are not whole records of {dtype.itemsize} bytes"
        )
    beats = np.frombuffer(data, dtype)
    if beats.size and (np.any(beats["vcpus"] != vcpus) or beats["side"].max() >= len(SIDES)):
        raise ResultsError(f"the beats are not those of a machine with {vcpus} vCPU(s)")
    beats = beats[np.argsort(beats["t_ns"], kind="stable")]
    columns: dict[str, Any] = {
        "t_ns": beats["t_ns"].astype(np.int64),
        "side": pd.Categorical.from_codes(
            beats["side"].astype(np.int8), categories=pd.Index(SIDES)
        ),
        "seq": unwrap(beats["seq"]),
        "tsc": beats["tsc"].astype(np.uint64),
        "phase": beats["phase"].astype(np.uint8),
    }
    for vcpu in range(vcpus):
        columns[f"work{vcpu}"] = unwrap(beats["work"][:, vcpu])
    return pd.DataFrame(columns)


def unwrap(counter: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A counter modulo 2^32 as int64: each step is taken to be shorter than 2^31, either way."""
    if counter.size == 0:
        return np.zeros(0, dtype=np.int64)
    steps = np.diff(counter.astype(np.uint32)).view(np.int32).astype(np.int64)
    return np.concatenate(([np.int64(counter[0])], np.int64(counter[0]) + np.cumsum(steps)))


def no_beats(vcpus: int = 1) -> pd.DataFrame:
    """The table of a machine that never beat."""
    return beats_frame(b"", vcpus)


def samples_frame(samples: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The node's samples as one long table; what a sample does not have is empty there."""
    known = {column.name for column in SAMPLES}
    data: dict[str, Any] = {c.name: _cells(samples, c) for c in SAMPLES}
    for name in dict.fromkeys(key for sample in samples for key in sample if key not in known):
        values = [sample.get(name) for sample in samples]
        data[name] = [_json_text(v) if isinstance(v, dict | list) else v for v in values]
    return pd.DataFrame(data)


def _cells(
    samples: Sequence[Mapping[str, Any]], column: Column
) -> "pd.api.extensions.ExtensionArray":
    values = [sample.get(column.name) for sample in samples]
    if column.kind == "text":
        values = [v if v is None or isinstance(v, str) else _json_text(v) for v in values]
    return pd.array(values, dtype=_DTYPES[column.kind])  # type: ignore[call-overload, no-any-return]


def _json_text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def to_parquet(frame: pd.DataFrame, **metadata: str) -> bytes:
    """The bytes of a parquet file that holds the frame, the schema version and `metadata`."""
    table = pa.Table.from_pandas(frame, preserve_index=False, nthreads=1)
    said = {f"labctl.{key}".encode(): value.encode() for key, value in metadata.items()}
    said[_VERSION_KEY] = str(SCHEMA_VERSION).encode()
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **said})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def from_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """The frame in a parquet file that labctl wrote, or some columns of it.

    Raises:
        ResultsError: there is none, it is damaged, or a newer labctl wrote it.
    """
    try:
        # Arrow's own file, not Python's: a thread of Arrow that still holds that as Python exits aborts the process.
        with pa.OSFile(str(path)) as file:
            table = pq.read_table(file, columns=columns, use_threads=False, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(f"cannot be read: {error}", place=str(path)) from None
    version = int((table.schema.metadata or {}).get(_VERSION_KEY, b"0"))
    if version > SCHEMA_VERSION:
        raise ResultsError(
            f"has schema version {version}; this labctl reads up to {SCHEMA_VERSION}",
            place=str(path),
            mend="read it with the version of labctl that wrote it, or a newer one",
        )
    frame = table.to_pandas(use_threads=False)
    assert isinstance(frame, pd.DataFrame)
    return frame


def parquet_metadata(path: Path, key: str) -> str | None:
    """What `to_parquet` was told to store under `key`; None when it is not there."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    value = metadata.get(f"labctl.{key}".encode())
    return value.decode() if value is not None else None


def parquet_columns(path: Path) -> list[str]:
    """The names of a parquet file's columns, in order. Raises ResultsError."""
    try:
        return list(pq.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(f"cannot be read: {error}", place=str(path)) from None


def events_to_jsonl(events: Iterable[Mapping[str, Any]]) -> bytes:
    """The text of events.jsonl."""
    head = {"schema_version": SCHEMA_VERSION, "file": "events"}
    return "".join(json.dumps(line, default=str) + "\n" for line in (head, *events)).encode()


def events_from_jsonl(path: Path) -> list[dict[str, Any]]:
    """The events in a file, in the order they were written.

    Raises:
        ResultsError: a line is not a JSON object.
    """
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise ResultsError(f"cannot be read: {error}", place=str(path)) from None
    if not all(isinstance(line, dict) for line in lines):
        raise ResultsError("holds a line that is not an object", place=str(path))
    return [line for line in lines if "t_ns" in line]
