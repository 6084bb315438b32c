"""A row of the table: one figure, what it rests on, and the limit it is held to. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

Interval = tuple[float, float]


@dataclass(frozen=True)
class Limit:
    """What a figure must not leave: a least value, a greatest one, or both, its bounds included."""

    least: float | None = None
    most: float | None = None
    of: Literal["value", "interval"] = "value"
    """what is held to it: the figure, or both ends of its interval"""

    def holds(self, value: float | None, interval: Interval | None) -> bool:
        """Whether it is kept. A figure that could not be had keeps no limit."""
        single = None if value is None else (value, value)
        held = interval if self.of == "interval" else single
        if held is None:
            return False
        low, high = held
        if self.least is not None and not low >= self.least:
            return False
        return self.most is None or high <= self.most


@dataclass(frozen=True)
class Row:
    """One figure."""

    name: str
    """what it is called within its claim, for good"""
    what: str
    """what was measured, in words"""
    value: float | None
    """None: it could not be had"""
    unit: str
    n: int
    """how many measurements it rests on"""
    interval: Interval | None = None
    """of 95 %, by bootstrap; None where there are too few measurements for one"""
    limit: Limit | None = None
    """None: told, and held to nothing"""
    note: str = ""
    points: Sequence[Any] = field(default_factory=tuple)
    """the raw measurements"""

    @property
    def passed(self) -> bool | None:
        """Whether the limit is kept; None without one."""
        return None if self.limit is None else self.limit.holds(self.value, self.interval)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """A row as it was stored."""
        interval, limit = data["interval"], data["limit"]
        return cls(
            **{
                **{key: data[key] for key in ("name", "what", "value", "unit", "n", "note")},
                "interval": None if interval is None else (interval[0], interval[1]),
                "limit": None if limit is None else Limit(**limit),
                "points": tuple(data["points"]),
            }
        )


@dataclass(frozen=True)
class Measured:
    """What came of one claim, the last time it was measured."""

    claim: str
    command: str
    when: str
    """UTC, at its end"""
    seconds: float
    machine: Mapping[str, Any]
    """what of the machine can change a figure"""
    load: Mapping[str, Any]
    """what else the machine did meanwhile, as far as it can be seen"""
    rows: tuple[Row, ...]
    error: str | None = None
    """why it could not be measured"""

    @property
    def passed(self) -> bool:
        """Whether it was measured and every limit is kept."""
        return self.error is None and all(row.passed is not False for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """As it was stored."""
        return cls(**{**data, "rows": tuple(Row.from_json(row) for row in data["rows"])})
