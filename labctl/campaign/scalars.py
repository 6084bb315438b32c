"""The kinds of value a campaign file holds: how each is read, checked and written back.

A `Scalar` stands in the annotation of a model's field. It reads the text of a file or of a matrix
level (with its unit), takes a Python value as it is (in base units), and gives the canonical text
by which equal levels are found: `0.5GiB/s` and `512MiB/s` are one level.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from pydantic_core import PydanticCustomError

from labctl import units
from labctl.errors import InputError

NONE = "none"
"""How an optional value is written when it is not there."""


@dataclass(frozen=True)
class Scalar:
    """One kind of value; `low` and `high` are inclusive, in base units."""

    what: str
    parse: Callable[[str], Any]
    format: Callable[[Any], str]
    types: tuple[type, ...]
    low: float | None = None
    high: float | None = None
    step: int | None = None
    optional: bool = False
    words: tuple[str, ...] = ()
    """all there is, where it is a choice"""
    pattern: str = ""
    """what a name has to fit"""
    units: tuple[str, ...] = ()
    """of a quantity"""
    power_of_two: bool = False

    def within(
        self,
        low: float | None = None,
        high: float | None = None,
        *,
        step: int | None = None,
        optional: bool = False,
    ) -> "Scalar":
        """The same kind within limits; with `step`, a multiple of it."""
        return replace(self, low=low, high=high, step=step, optional=optional)

    def read(self, value: object) -> Any:
        """The Python value of a text (units obligatory) or of a Python value (base units).

        Raises InputError.
        """
        if self.optional and (value is None or value == NONE):
            return None
        found = self.parse(value) if isinstance(value, str) else value
        if type(found) not in self.types:
            raise InputError(f"{shown(value)} is not {self.what}", mend=f"write {self.what}")
        self._check(found, value)
        return found

    def write(self, value: Any) -> str:
        """The canonical text of a Python value."""
        return NONE if value is None else self.format(value)

    def canonical(self, text: str) -> str:
        """The one text that all equal texts share. Raises InputError."""
        return self.write(self.read(text))

    def validate(self, value: object) -> Any:
        """`read`, as pydantic wants to hear of a fault."""
        try:
            return self.read(value)
        except InputError as error:
            raise custom_error(error.fault, error.mend) from None

    def _check(self, found: Any, said: object) -> None:
        if self.low is not None and found < self.low:
            low = self.format(self.types[-1](self.low))
            raise InputError(f"{shown(said)} is too small", mend=f"write {low} or more")
        if self.high is not None and found > self.high:
            high = self.format(self.types[-1](self.high))
            raise InputError(f"{shown(said)} is too large", mend=f"write {high} or less")
        if self.step is not None and found % self.step:
            near = self.format(max(round(found / self.step), 1) * self.step)
            raise InputError(
                f"{shown(said)} is not a multiple of {self.format(self.step)}",
                mend=f"write for example {near}",
            )
        if self.power_of_two and found & (found - 1):
            near = self.format(1 << (found.bit_length() - 1))
            raise InputError(
                f"{shown(said)} is not a power of two", mend=f"write for example {near}"
            )


def shown(value: object) -> str:
    """A value as a message shows it."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return "nothing" if value is None or value == "" else f"`{value}`"


def nearest(word: str, known: list[str]) -> str:
    """The mend for a word that is not `known`: the nearest, or all."""
    close = get_close_matches(word, known, n=1, cutoff=0.65)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"write one of {', '.join(known)}" if known else "leave it out"


def custom_error(fault: str, mend: str | None) -> PydanticCustomError:
    """A fault and its mend, carried through pydantic to whoever reports them with their line."""
    return PydanticCustomError(
        "labctl", "{fault} (mend: {mend})", {"fault": fault, "mend": mend or ""}
    )


def choice(*words: str) -> Scalar:
    """One of `words`."""
    listed = ", ".join(words)

    def parse(text: str) -> str:
        if text not in words:
            raise InputError(
                f"{shown(text)} is not one of {listed}", mend=nearest(text, list(words))
            )
        return text

    return Scalar(f"one of {listed}", parse, str, (str,), words=words)


def name(what: str, pattern: str, rule: str) -> Scalar:
    """A name that has to fit `pattern`; `rule` says it in words."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise InputError(f"{shown(text)} is not {what}", mend=rule)
        return text

    return Scalar(what, parse, str, (str,), pattern=pattern)


def _parse_count(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,19}", text, re.ASCII):
        raise InputError(f"{shown(text)} is not a whole number", mend="write digits only")
    return int(text)


def _parse_exponent(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", text, re.ASCII):
        raise InputError(f"{shown(text)} is not an exponent", mend="write it as in 0.99")
    return float(text)


def _format_exponent(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _parse_flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise InputError(f"{shown(text)} is neither true nor false", mend="write true or false")
    return text.lower() == "true"


SIZE = Scalar(
    "a size with its unit", units.parse_size, units.format_size, (int,), units=units.SIZE_UNITS
)
POWER_OF_TWO = replace(SIZE, what="a size with its unit, a power of two", power_of_two=True)
RATE = Scalar(
    "a rate with its unit", units.parse_rate, units.format_rate, (int,), units=units.RATE_UNITS
)
BANDWIDTH = Scalar(
    "a bandwidth with its unit",
    units.parse_bandwidth,
    units.format_bandwidth,
    (int,),
    units=units.BANDWIDTH_UNITS,
)
DURATION = Scalar(
    "a duration with its unit",
    units.parse_duration,
    units.format_duration,
    (int, float),
    units=units.DURATION_UNITS,
)
SHARE = Scalar(
    "a share in percent",
    units.parse_share,
    units.format_share,
    (int, float),
    units=units.SHARE_UNITS,
)
COUNT = Scalar("a whole number", _parse_count, str, (int,))
FLAG = Scalar("true or false", _parse_flag, lambda value: str(value).lower(), (bool,))
EXPONENT = Scalar("an exponent", _parse_exponent, _format_exponent, (int, float))
