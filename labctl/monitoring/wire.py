"""Prometheus' remote write, version 1: what a request's body is. https://prometheus.io/docs/specs/prw/remote_write_spec/

The message is so small that its description stands here, and no generated file.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

import pyarrow as pa

from labctl.monitoring.samples import SeriesOf

HEADERS: Final = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
STALE: Final[float] = struct.unpack("<d", struct.pack("<Q", 0x7FF0_0000_0000_0002))[0]
"""the NaN that says: this series has ended, do not draw its last value on"""
_PACKAGE: Final = "prometheus"


def parts(series: Iterable[SeriesOf], max_samples: int) -> Iterator[list[SeriesOf]]:
    """The same series in their order, a long one cut, in parts of so many samples at most."""
    part: list[SeriesOf] = []
    room = max_samples
    for of in series:
        start = 0
        while start < of.t_ms.size:
            piece = of.cut(start, start + room)
            part.append(piece)
            start += piece.t_ms.size
            room -= piece.t_ms.size
            if room == 0:
                yield part
                part, room = [], max_samples
    if part:
        yield part


def body(series: Iterable[SeriesOf]) -> bytes:
    """The compressed WriteRequest of some series."""
    request = _write_request()()
    for of in series:
        told = request.timeseries.add()
        for name, value in sorted({"__name__": of.metric.full_name, **of.labels}.items()):
            told.labels.add(name=name, value=value)
        for t_ms, value in zip(of.t_ms.tolist(), of.values.tolist(), strict=True):
            told.samples.add(value=value, timestamp=t_ms)
        if of.ends:
            told.samples.add(value=STALE, timestamp=int(of.t_ms[-1]) + 1)
    return bytes(pa.Codec("snappy").compress(request.SerializeToString(), asbytes=True))


def read_body(data: bytes, size: int) -> dict[tuple[tuple[str, str], ...], list[tuple[int, float]]]:
    """What a body holds, by the labels of each series; `size`: bytes of the message in it."""
    request = _write_request()()
    request.ParseFromString(pa.Codec("snappy").decompress(data, size, asbytes=True))
    return {
        tuple((label.name, label.value) for label in series.labels): [
            (sample.timestamp, sample.value) for sample in series.samples
        ]
        for series in request.timeseries
    }


@cache
def _write_request() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="labctl/remote_write.proto", package=_PACKAGE, syntax="proto3"
    )

    def message(name: str, fields: Mapping[str, tuple[int, int, str | None]]) -> None:
        told = file.message_type.add(name=name)
        for field_name, (number, kind, of) in fields.items():
            repeated = field.LABEL_REPEATED if of else field.LABEL_OPTIONAL
            one = told.field.add(name=field_name, number=number, type=kind, label=repeated)
            if of:
                one.type_name = f".{_PACKAGE}.{of}"

    message("Label", {"name": (1, field.TYPE_STRING, None), "value": (2, field.TYPE_STRING, None)})
    message(
        "Sample", {"value": (1, field.TYPE_DOUBLE, None), "timestamp": (2, field.TYPE_INT64, None)}
    )
    message(
        "TimeSeries",
        {"labels": (1, field.TYPE_MESSAGE, "Label"), "samples": (2, field.TYPE_MESSAGE, "Sample")},
    )
    message("WriteRequest", {"timeseries": (1, field.TYPE_MESSAGE, "TimeSeries")})
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.WriteRequest"))
