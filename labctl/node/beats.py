"""The guest's beat stream: records of bytes as they leave the guest, and the parser that finds them.

Every record starts with four bytes: magic 0xB7, type, version, length of the whole record. All numbers are little endian.

=====  ======  =========================================================================================
type   name    after the header
=====  ======  =========================================================================================
1      HELLO   nonce u32, tsc u64, tsc_hz u64, memory u64, ws u64, checked u64, ws_start u64,
               two ranges outside the working set (start u64, length u64 each), vcpus u32, crc-32
2      BEAT    nonce u32, seq u32, tsc u64, phase u8, vcpus u8, reserved u16, work u32 x vcpus, crc-8
3      REPORT  nonce u32, seq u32, tsc u64, pages checked u64, pages bad u64, first bad address u64,
               work regressed u8, seq regressed u8, reserved u16, crc-8
4      LOAD    nonce u32, seq u32, tsc u64, start_tsc u64, pages written u64, pages read u64, then for each
               window of the dirty curve (length in ms u16, whole windows u32, pages dirtied in them u64), crc-8
=====  ======  =========================================================================================

A migration can cut a record in two: its head leaves the source, its tail the destination. The destination's parser
continues from what the source's has left (:meth:`BeatParser.continue_from`). After anything else that is no record, the
parser looks for the next header whose checksum holds.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple, Union

SIDES = ("source", "destination")
"""whose beats they are; the number of one is its place here"""
MAGIC = 0xB7
VERSION = 1
HELLO, BEAT, REPORT, LOAD = 1, 2, 3, 4
PHASE_BOOT, PHASE_FILL, PHASE_RUN, PHASE_CHECK, PHASE_CHECKED = range(5)
PHASES = ("boot", "fill", "run", "check", "checked")

_HELLO = struct.Struct("<4xI10QI")
_BEAT = struct.Struct("<4xIIQBB2x")
_REPORT = struct.Struct("<4xIIQQQQBB2x")
_LOAD = struct.Struct("<4xIIQQQQ")
_WINDOW = struct.Struct("<HIQ")
_HELLO_LENGTH = _HELLO.size + 4
_REPORT_LENGTH = _REPORT.size + 1


def _crc8_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
        table.append(crc)
    return table


_CRC8 = _crc8_table()


def crc8(data: bytes | bytearray | memoryview) -> int:
    """CRC-8, polynomial 0x07, initial value 0."""
    crc = 0
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc


class Beat(NamedTuple):
    """What the guest has done until now."""

    nonce: int
    seq: int
    tsc: int
    phase: int
    work: tuple[int, ...]
    """Pages written by each vCPU, modulo 2**32."""


class Hello(NamedTuple):
    """What the guest is: sizes in bytes, addresses physical, `tsc_hz` as it calibrated itself."""

    nonce: int
    tsc: int
    tsc_hz: int
    memory_bytes: int
    ws_bytes: int
    checked_bytes: int
    ws_start: int
    fill_start1: int
    fill_length1: int
    fill_start2: int
    fill_length2: int
    vcpus: int


class Report(NamedTuple):
    """What the check of the guest's memory found."""

    nonce: int
    seq: int
    tsc: int
    pages_checked: int
    pages_bad: int
    first_bad_address: int
    work_regressed: int
    seq_regressed: int


class Load(NamedTuple):
    """What the load has done until the last tenth of a second since its start, when every vCPU had come that far."""

    nonce: int
    seq: int
    tsc: int
    start_tsc: int
    """When the writing began: second 0 of the profile, and of every window."""
    pages_written: int
    pages_read: int
    curve: tuple[tuple[int, int, int], ...]
    """The dirty curve: (window in ms, whole windows, pages dirtied in them, each counted once a window)."""


Record = Union[Beat, Hello, Report, Load]


def as_dict(record: Record) -> dict[str, Any]:
    """A record's fields by name."""
    return dict(record._asdict())


class BeatParser:
    """Bytes in, records out. Keeps the unfinished tail between calls.

    :ivar skipped_bytes: bytes that belonged to no record.
    """

    def __init__(self) -> None:
        self.tail = bytearray()
        self.skipped_bytes = 0

    def continue_from(self, other: BeatParser) -> None:
        """Take what `other` has of an unfinished record as the begin of this stream."""
        self.tail[:] = other.tail

    def feed(self, data: bytes) -> Iterator[Record]:
        """Take bytes as they arrive; yields the records that are whole now."""
        buffer = self.tail
        buffer += data
        start = 0
        end = len(buffer)
        try:
            while end - start >= 4:
                length = self._plausible_length(buffer, start)
                if length == 0:
                    start += 1
                    self.skipped_bytes += 1
                    continue
                if end - start < length:
                    return
                record = _decode(buffer[start : start + length])
                if record is None:
                    start += 1
                    self.skipped_bytes += 1
                    continue
                start += length
                yield record
        finally:
            del buffer[:start]

    @staticmethod
    def _plausible_length(buffer: bytearray, at: int) -> int:
        if buffer[at] != MAGIC or buffer[at + 2] != VERSION:
            return 0
        kind, length = buffer[at + 1], buffer[at + 3]
        if kind == BEAT and length > _BEAT.size and (length - _BEAT.size - 1) % 4 == 0:
            return length
        if kind == LOAD and length > _LOAD.size and (length - _LOAD.size - 1) % _WINDOW.size == 0:
            return length
        if (kind, length) in ((HELLO, _HELLO_LENGTH), (REPORT, _REPORT_LENGTH)):
            return length
        return 0


def _decode(record: bytearray) -> Record | None:
    kind = record[1]
    if kind == HELLO:
        (crc,) = struct.unpack_from("<I", record, _HELLO.size)
        if zlib.crc32(record[: _HELLO.size]) != crc:
            return None
        return Hello(*_HELLO.unpack_from(record))
    if crc8(memoryview(record)[:-1]) != record[-1]:
        return None
    if kind == REPORT:
        return Report(*_REPORT.unpack_from(record))
    if kind == LOAD:
        curve = tuple(_WINDOW.iter_unpack(record[_LOAD.size : -1]))
        return Load._make((*_LOAD.unpack_from(record), curve))
    nonce, seq, tsc, phase, vcpus = _BEAT.unpack_from(record)
    if len(record) != _BEAT.size + 4 * vcpus + 1 or phase >= len(PHASES):
        return None
    return Beat(nonce, seq, tsc, phase, struct.unpack_from(f"<{vcpus}I", record, _BEAT.size))
