"""The beat stream: records come out whole however the bytes arrive, and noise costs no record."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from labctl.node.beats import (
    BEAT,
    HELLO,
    LOAD,
    MAGIC,
    PHASES,
    REPORT,
    Beat,
    BeatParser,
    Hello,
    Load,
    Record,
    Report,
    as_dict,
    crc8,
)
from labctl.node.observer import record_format
from labctl.results.raw import beat_dtype

u8, u32, u64 = st.integers(0, 255), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
beats = st.builds(
    Beat, u32, u32, u64, st.integers(0, len(PHASES) - 1), st.lists(u32, min_size=1, max_size=32).map(tuple),
)  # fmt: skip
hellos = st.builds(Hello, u32, *[u64] * 10, u32)
reports = st.builds(Report, u32, u32, *[u64] * 4, u8, u8)
curves = st.lists(st.tuples(st.integers(0, 2**16 - 1), u32, u64), min_size=1, max_size=7)
loads = st.builds(Load, u32, u32, *[u64] * 4, curves.map(tuple))
records = st.one_of(beats, hellos, reports, loads)
streams = st.lists(records, max_size=8)


def encoded(record: Record) -> bytes:
    """A record as the guest writes it; written from the format's description, not from the parser."""
    if isinstance(record, Hello):
        body = struct.pack("<I10QI", *record)
        whole = struct.pack("<4B", MAGIC, HELLO, 1, 4 + len(body) + 4) + body
        return whole + struct.pack("<I", zlib.crc32(whole))
    if isinstance(record, Beat):
        work = struct.pack(f"<{len(record.work)}I", *record.work)
        body = struct.pack("<IIQBBH", *record[:4], len(record.work), 0) + work
        kind = BEAT
    elif isinstance(record, Load):
        windows = b"".join(struct.pack("<HIQ", *window) for window in record.curve)
        body = struct.pack("<IIQQQQ", *record[:6]) + windows
        kind = LOAD
    else:
        body = struct.pack("<IIQQQQBBH", *record, 0)
        kind = REPORT
    whole = struct.pack("<4B", MAGIC, kind, 1, 4 + len(body) + 1) + body
    return whole + bytes([crc8(whole)])


def parsed(*chunks: bytes) -> list[Record]:
    parser = BeatParser()
    return [record for chunk in chunks for record in parser.feed(chunk)]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({min(place, len(data)) for place in places} | {len(data)})
    return [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def test_the_checksum_is_the_documented_one() -> None:
    assert crc8(b"123456789") == 0xF4
    assert crc8(b"") == 0


@given(streams, st.lists(st.integers(0, 4000), max_size=30))
def test_any_chunking_gives_the_same_records(sent: list[Record], places: list[int]) -> None:
    data = b"".join(map(encoded, sent))
    assert parsed(*cut(data, places)) == sent
    assert parsed(*[bytes([byte]) for byte in data]) == sent


@given(beats, records, st.data())
@example(Beat(1, 2, 3, 2, (4,)), Beat(1, 3, 4, 2, (5,)), None)
def test_a_record_cut_at_any_byte_costs_that_record_alone(
    lost: Beat, following: Record, data: st.DataObject | None
) -> None:
    """Its head is left standing before the next whole record, as where the rest never comes."""
    whole = encoded(lost)
    places = [data.draw(st.integers(1, len(whole) - 1))] if data else range(1, len(whole))
    after = [following] * 12  # longer than a record's head may claim to be
    for place in places:
        found = parsed(whole[:place], b"".join(map(encoded, after)))
        false = [record for record in found if record != following]
        assume(not false)  # one in 256 of such heads has a checksum that fits what follows
        assert found == after


@given(beats, st.data())
def test_a_beat_cut_by_a_migration_is_joined(beat: Beat, data: st.DataObject) -> None:
    """Its head leaves the source, its tail the destination."""
    whole = encoded(beat)
    place = data.draw(st.integers(0, len(whole)))
    before, after = beat._replace(seq=1), beat._replace(seq=3)
    source, destination = BeatParser(), BeatParser()
    head = list(source.feed(encoded(before) + whole[:place]))
    destination.continue_from(source)
    tail = list(destination.feed(whole[place:] + encoded(after)))
    assert head + tail == [before, beat, after]
    assert (source.skipped_bytes, destination.skipped_bytes) == (0, 0)


def test_a_destination_that_begins_afresh_loses_nothing_by_the_sources_tail() -> None:
    """A second machine, or a source whose last bytes never came: the joined bytes are no record."""
    beat = Beat(0x01020304, 5, 6, 2, (7,))
    source, destination = BeatParser(), BeatParser()
    assert list(source.feed(encoded(beat)[:20])) == []
    destination.continue_from(source)
    assert list(destination.feed(encoded(beat) * 20)) == [beat] * 20
    assert destination.skipped_bytes == 20
    assert list(source.feed(encoded(beat)[20:])) == [beat], "the source's own stream is untouched"


@given(st.binary(max_size=300), st.lists(beats, min_size=1, max_size=3))
def test_noise_is_counted_and_costs_no_record(noise: bytes, sent: list[Beat]) -> None:
    data = b"".join(map(encoded, sent)) * 30  # so that a false header in the noise finds its length
    parser = BeatParser()
    found = list(parser.feed(noise + data))
    assume(all(record in sent for record in found))
    assert len(found) >= 29 * len(sent)
    assert found[-len(sent) :] == sent
    used = sum(len(encoded(record)) for record in found)
    assert parser.skipped_bytes + used + len(parser.tail) == len(noise) + len(data)


@given(records, st.data())
def test_a_single_flipped_bit_is_never_taken_for_a_record(
    record: Record, data: st.DataObject
) -> None:
    whole = bytearray(encoded(record))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    assert record not in parsed(bytes(whole))
    assert all(len(encoded(found)) < len(whole) for found in parsed(bytes(whole)))


@pytest.mark.parametrize("phase", [5, 255])
def test_a_phase_that_does_not_exist_is_no_beat(phase: int) -> None:
    assert parsed(encoded(Beat(1, 2, 3, phase, (4,)))) == []


def test_a_count_of_vcpus_that_contradicts_the_length_is_no_beat() -> None:
    whole = bytearray(encoded(Beat(1, 2, 3, 2, (4, 5)))[:-1])
    whole[21] = 1
    assert parsed(bytes(whole) + bytes([crc8(whole)])) == []


def test_a_record_names_its_fields() -> None:
    assert as_dict(Beat(1, 2, 3, 2, (4,))) == {"nonce": 1, "seq": 2, "tsc": 3, "phase": 2, "work": (4,)}  # fmt: skip


@pytest.mark.parametrize("vcpus", [1, 2, 32])
def test_the_node_packs_beats_as_results_read_them(vcpus: int) -> None:
    packed = record_format(vcpus).pack(-5, 1, 2, vcpus, 2**32 - 1, 2**64 - 1, *range(vcpus))
    (beat,) = np.frombuffer(packed, beat_dtype(vcpus))
    assert beat["t_ns"] == -5
    assert (beat["side"], beat["phase"], beat["vcpus"]) == (1, 2, vcpus)
    assert (beat["seq"], beat["tsc"]) == (2**32 - 1, 2**64 - 1)
    assert list(beat["work"]) == list(range(vcpus))
