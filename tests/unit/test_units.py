"""Units: every value survives a round trip, and what is not clear is refused with the mend."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.errors import InputError
from labctl.units import (
    format_bandwidth,
    format_duration,
    format_rate,
    format_size,
    parse_bandwidth,
    parse_duration,
    parse_rate,
    parse_size,
)
from tests import strategies

PARSERS: list[Callable[[str], float]] = [parse_size, parse_rate, parse_bandwidth, parse_duration]


@given(strategies.sizes_bytes)
def test_size_round_trip(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


@given(strategies.rates_bytes_per_s)
def test_rate_round_trip(rate_bytes_per_s: int) -> None:
    text = format_rate(rate_bytes_per_s)
    assert parse_rate(text) == rate_bytes_per_s
    assert parse_rate(text.replace("/s", "ps")) == rate_bytes_per_s


@given(strategies.bandwidths_bits_per_s)
def test_bandwidth_round_trip(bandwidth_bits_per_s: int) -> None:
    assert parse_bandwidth(format_bandwidth(bandwidth_bits_per_s)) == bandwidth_bits_per_s


@given(strategies.durations_s)
def test_duration_round_trip(duration_s: float) -> None:
    assert parse_duration(format_duration(duration_s)) == duration_s


@given(st.sampled_from(PARSERS), st.text() | st.from_regex(r"-?[0-9.]{0,30} ?[A-Za-zµ/]{0,6}"))
def test_a_parser_raises_nothing_but_input_error(parse: Callable[[str], float], text: str) -> None:
    with suppress(InputError):
        assert parse(text) >= 0


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_size, "256MiB", 268_435_456),
        (parse_size, "256 MB", 256_000_000),
        (parse_size, "1.5KiB", 1536),
        (parse_size, "0B", 0),
        (parse_rate, "40MiB/s", 41_943_040),
        (parse_rate, "40MiBps", 41_943_040),
        (parse_rate, "1Gbit/s", 125_000_000),
        (parse_rate, "0MiB/s", 0),
        (parse_bandwidth, "1Gbit/s", 1_000_000_000),
        (parse_bandwidth, "1Gbitps", 1_000_000_000),
        (parse_bandwidth, "1MB/s", 8_000_000),
        (parse_bandwidth, "1MiB/s", 8_388_608),
        (parse_duration, "300ms", 0.3),
        (parse_duration, "500us", 0.0005),
        (parse_duration, "1.5min", 90.0),
        (parse_duration, "2h", 7200.0),
    ],
)
def test_parse(parse: Callable[[str], float], text: str, value: float) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "fault", "mend"),
    [
        (parse_size, "256", "has no unit", "256MiB"),
        (parse_rate, "0", "has no unit", "0MiB/s"),
        (parse_duration, "10", "has no unit", "300ms"),
        (parse_rate, "1Gb/s", "is not a unit", "1Gbit/s (bits) or 1GB/s (bytes)"),
        (parse_bandwidth, "1GBit/s", "is not a unit", "1Gbit/s (bits) or 1GB/s (bytes)"),
        (parse_bandwidth, "1GBit", "is not a unit", "1Gbit/s (bits) or 1GB/s (bytes)"),
        (parse_bandwidth, "1gbps", "is not a unit", "1Gbit/s (bits) or 1GB/s (bytes)"),
        (parse_size, "256mib", "is not a unit", "256MiB"),
        (parse_size, "256M", "is not a unit", "256MiB (bytes) or 256MB (bytes)"),
        (parse_size, "1KB", "is not a unit", "1kB (bytes) or 1KiB (bytes)"),
        (parse_size, "4MiB/s", "is not a unit", "4MiB"),
        (parse_rate, "400MiB", "is not a unit", "400MiB/s"),
        (parse_duration, "5m", "is not a unit", "5min or 5ms"),
        (parse_duration, "5 S", "is not a unit", "5s"),
        (parse_duration, "3d", "is not a unit", "us, ms, s, min, h"),
        (parse_rate, "0.4GiB/s", "no whole number", "429496730B/s"),
        (parse_rate, "1bit/s", "no whole number", "0B/s"),
        (parse_size, "1." + "0" * 31 + "1B", "no whole number", "1B"),
        (parse_size, "16777216TiB", "too large", ""),
        (parse_duration, "300000000h", "too long", ""),
        (parse_size, "-5MiB", "is not a size", "a number and a unit"),
        (parse_size, "", "is not a size", "a number and a unit"),
        (parse_size, "٣MiB", "is not a size", "a number and a unit"),
    ],
)
def test_refused(parse: Callable[[str], float], text: str, fault: str, mend: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert fault in caught.value.fault
    assert caught.value.mend
    assert mend in caught.value.mend


def test_printed_as_a_person_expects() -> None:
    assert format_rate(parse_rate("400MiB/s")) == "400MiB/s"
    assert format_rate(0) == "0MiB/s"
    assert format_size(parse_size("0.5GiB")) == "512MiB"
    assert format_size(256_000_000) == "256MB"
    assert format_bandwidth(8_000_000_000) == "8Gbit/s"
    assert format_bandwidth(parse_bandwidth("100MiB/s")) == "100MiB/s"
    assert format_duration(0.3) == "300ms"
    assert format_duration(90.0) == "90s"
    assert format_duration(0.1 + 0.2) == "300000.00000000004us"
