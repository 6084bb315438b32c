"""Sizes, rates, bandwidths and durations: one parser and one printer for each.

| quantity  | Python value       | units                                              |
| --------- | ------------------ | -------------------------------------------------- |
| size      | int, bytes         | B, KiB MiB GiB TiB (1024), kB MB GB TB (1000)      |
| rate      | int, bytes/s       | a size's units or a bandwidth's, each with `/s`    |
| bandwidth | int, bits/s        | bit kbit Mbit Gbit Tbit (1000), or bytes, `/s`     |
| duration  | float, seconds     | us ms s min h                                      |
| share     | float, of 1        | %                                                  |

A unit is always written, zero included. Spelling counts, because a letter's case is all that tells
bits from bytes and milli from mega; `/s` may be written `ps`, as file names need it. A value that
is no whole number of bytes (or bits) is refused and never rounded. For every legal `x`,
`parse(format(x)) == x`. Each parser raises `InputError` with the mend, and no other error.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, localcontext

from labctl.errors import InputError

MAX_WHOLE = 2**63 - 1
"""The largest size, rate or bandwidth: what a signed 64-bit column holds."""

MAX_DURATION_S = 1e9

_BINARY = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_DECIMAL = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BIT = {"bit": 1, "kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9, "Tbit": 10**12}
_BYTES = {"B": 1, **_BINARY, **_DECIMAL}

_SIZE = {unit: Decimal(n) for unit, n in _BYTES.items()}
_RATE = {f"{unit}/s": n for unit, n in _SIZE.items()} | {
    f"{unit}/s": Decimal(n) / 8 for unit, n in _BIT.items()
}
_BANDWIDTH = {unit: 8 * n for unit, n in _RATE.items()}
_DURATION = {
    "us": Decimal("0.000001"),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "min": Decimal(60),
    "h": Decimal(3600),
}

SHARE_UNITS = ("%",)
SIZE_UNITS, RATE_UNITS = tuple(_SIZE), tuple(_RATE)
BANDWIDTH_UNITS, DURATION_UNITS = tuple(_BANDWIDTH), tuple(_DURATION)

_NUMBER_AND_UNIT = re.compile(r"([0-9]{1,24}(?:\.[0-9]{1,32})?)\s*([^\s0-9.,+-]\S*)?", re.ASCII)
_PREFIX_AND_BASE = re.compile(r"([kmgt]?)(i?)(b|bits?|bytes?)?")
_DURATION_READINGS = {
    "m": ("min", "ms"),
    "mn": ("min",),
    "ns": ("us",),
    **dict.fromkeys(("µs", "μs", "usec", "usecs"), ("us",)),
    **dict.fromkeys(("msec", "msecs", "milliseconds"), ("ms",)),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), ("s",)),
    **dict.fromkeys(("mins", "minute", "minutes"), ("min",)),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), ("h",)),
}


def parse_size(text: str) -> int:
    """Bytes: `parse_size("256MiB") == 268435456`."""
    return _whole(text, "a size", _SIZE, ("256MiB", "0MiB"), "B")


def parse_rate(text: str) -> int:
    """Bytes per second: `parse_rate("1MiB/s") == 1048576`, `parse_rate("8Mbit/s") == 1000000`."""
    return _whole(text, "a rate", _RATE, ("40MiB/s", "0MiB/s"), "B/s")


def parse_bandwidth(text: str) -> int:
    """Bits per second: `parse_bandwidth("1Mbit/s") == 1000000`, and 8000000 for `"1MB/s"`."""
    return _whole(text, "a bandwidth", _BANDWIDTH, ("1Gbit/s", "0Mbit/s"), "bit/s")


def parse_duration(text: str) -> float:
    """Seconds: `parse_duration("300ms") == 0.3`."""
    seconds = float(_decimal(text, "a duration", _DURATION, ("300ms", "0s")))
    if seconds > MAX_DURATION_S:
        raise InputError(f"`{text.strip()}` is too long", mend="write at most 10^9 s")
    return seconds


def parse_share(text: str) -> float:
    """A fraction: `parse_share("25%") == 0.25`. Steps of a ten thousandth of a percent are told apart."""
    return round(float(_decimal(text, "a share", {"%": Decimal("0.01")}, ("25%", "0%"))), 6)


def format_share(share: float) -> str:
    """The fraction in percent: `format_share(0.125) == "12.5%"`."""
    percent = (Decimal(round(share * 1_000_000)) / 10_000).normalize()
    return f"{percent:f}%"


def format_size(size_bytes: int) -> str:
    """The size in the largest unit that is exact: `format_size(2**20) == "1MiB"`."""
    return _largest(size_bytes, _BYTES, "0MiB")


def format_rate(rate_bytes_per_s: int) -> str:
    """The rate in the largest unit of bytes that is exact: `format_rate(41943040) == "40MiB/s"`."""
    return _largest(rate_bytes_per_s, _BYTES, "0MiB") + "/s"


def format_bandwidth(bandwidth_bits_per_s: int) -> str:
    """The bandwidth in bits, or in binary bytes where that is exact and shorter.

    A link is named in bits; `100MiB/s` would read `838860800bit/s`.
    """
    in_bits = _largest(bandwidth_bits_per_s, _BIT, "0Mbit")
    in_bytes = _largest(bandwidth_bits_per_s, {u: 8 * n for u, n in _BINARY.items()}, "0MiB")
    return (in_bytes if in_bytes and _digits(in_bytes) < _digits(in_bits) else in_bits) + "/s"


def format_duration(duration_s: float) -> str:
    """The duration in the largest unit that makes it a whole number, else in us.

    Legal are 0 and 1 ns to 10^9 s.
    """
    exact = Decimal(repr(float(duration_s)))
    if not exact:
        return "0s"
    for unit, seconds in reversed(_DURATION.items()):
        if exact % seconds == 0:
            return f"{exact / seconds:f}".removesuffix(".0") + unit
    return f"{exact / _DURATION['us']:f}us"


def _whole(
    text: str, what: str, units: Mapping[str, Decimal], examples: tuple[str, str], base: str
) -> int:
    value = _decimal(text, what, units, examples)
    if value > MAX_WHOLE:
        raise InputError(f"`{text.strip()}` is too large", mend=f"write at most {MAX_WHOLE}{base}")
    if value != int(value):
        raise InputError(
            f"`{text.strip()}` is no whole number of {base} (it is {value.normalize():f})",
            mend=f"write {round(value)}{base}, or a whole number of a smaller unit",
        )
    return int(value)


def _decimal(
    text: str, what: str, units: Mapping[str, Decimal], examples: tuple[str, str]
) -> Decimal:
    """The exact value of `text` in the base unit."""
    text = text.strip()
    some, none = examples
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None:
        raise InputError(
            f"`{text}` is not {what}", mend=f"write a number and a unit, for example {some}"
        )
    number, unit = match.groups()
    if unit is None:
        example = none if not Decimal(number) else some
        raise InputError(
            f"`{text}` has no unit: {what} always carries one", mend=f"write it as in {example}"
        )
    spelt = f"{unit[:-2]}/s" if unit.endswith("ps") else unit
    if spelt not in units:
        raise InputError(
            f"`{unit}` in `{text}` is not a unit of {what}", mend=_hint(number, unit, units)
        )
    with localcontext(prec=80):  # more digits than the pattern lets through: nothing is rounded
        return Decimal(number) * units[spelt]


def _hint(number: str, unit: str, units: Mapping[str, Decimal]) -> str:
    """What a wrong unit may have meant: every reading that is legal here."""
    readings = [reading for reading in _readings(unit) if reading in units]
    if not readings:
        return f"write one of {', '.join(units)}"
    said = [f"{number}{reading}{_meaning(reading)}" for reading in readings]
    return f"write {' or '.join(said)}"


def _readings(unit: str) -> list[str]:
    folded = unit.lower()
    times = [folded, *_DURATION_READINGS.get(folded, ())]
    match = _PREFIX_AND_BASE.fullmatch(re.sub(r"(/s(ec)?|ps)$", "", folded))
    if match is None:
        return times
    prefix, binary, base = match.groups()
    decimal = prefix if prefix in ("", "k") else prefix.upper()
    bits, decimal_bytes, binary_bytes = f"{decimal}bit", f"{decimal}B", f"{prefix.upper()}iB"
    if binary:
        stems = [binary_bytes]
    elif base is None:
        stems = [binary_bytes, decimal_bytes, bits]
    elif base in ("bit", "bits") or unit[len(prefix)] == "b":
        stems = [bits, decimal_bytes]
    else:
        stems = [decimal_bytes, binary_bytes]
    return times + stems + [f"{stem}/s" for stem in stems]


def _meaning(unit: str) -> str:
    stem = unit.removesuffix("/s")
    if stem in _BIT:
        return " (bits)"
    return " (bytes)" if stem in _BYTES else ""


def _largest(value: int, units: Mapping[str, int], zero: str) -> str:
    """`value` in the largest of `units` that is exact; "" where none is."""
    if value == 0:
        return zero
    exact = [(size, unit) for unit, size in units.items() if value % size == 0]
    if not exact:
        return ""
    size, unit = max(exact)
    return f"{value // size}{unit}"


def _digits(text: str) -> int:
    return sum(character.isdigit() for character in text)
