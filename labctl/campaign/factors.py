"""Factors: the scalars that a matrix can vary, by the names a campaign file gives them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from labctl.campaign.scalars import Scalar, name
from labctl.campaign.specs import (
    ALGORITHM_KIND,
    QEMU,
    TRANSPORT,
    AlgorithmSpec,
    GuestSpec,
    LimitsSpec,
    LinkSpec,
    Spec,
    file_name_of,
)

VARIANT_NAME = name(
    "a variant's name",
    r"[a-z][a-z0-9_-]{0,39}",
    "write at most 40 lower-case letters, digits, `_` or `-`, a letter first",
)


@dataclass(frozen=True)
class Factor:
    """A scalar that a matrix can vary."""

    section: str
    """guest, link, limits, algorithm, or "" for what stands at the top"""
    field: str
    """the field of the section's model, in Python"""
    scalar: Scalar
    inside: str = ""
    """the field of the section's model that holds the field, where it does not hold it itself"""

    @property
    def key(self) -> str:
        """Its name in the file, within the section."""
        name_ = file_name_of(self.field)
        return f"{self.inside}.{name_}" if self.inside else name_

    @property
    def dotted(self) -> str:
        """The name that is never ambiguous: `guest.write_rate`."""
        return f"{self.section}.{self.key}" if self.section else self.key


def scalar_fields(section: str, model: type[Spec], inside: str = "") -> Iterator[Factor]:
    """Each field of `model`, or of a model that it holds, that holds one value."""
    for name_, info in model.model_fields.items():
        for extra in info.metadata:
            if isinstance(extra, Scalar):
                yield Factor(section, name_, extra, inside)
        if isinstance(info.annotation, type) and issubclass(info.annotation, Spec):
            yield from scalar_fields(section, info.annotation, name_)


def _all_factors() -> dict[str, Factor]:
    """Every factor by its canonical name: plain where that is unambiguous."""
    found = [
        Factor("", "algorithm", VARIANT_NAME),
        Factor("", "transport", TRANSPORT),
        Factor("", "qemu", QEMU),
        *scalar_fields("guest", GuestSpec),
        *scalar_fields("link", LinkSpec),
        *scalar_fields("limits", LimitsSpec),
        *(f for f in scalar_fields("algorithm", AlgorithmSpec) if f.scalar is not ALGORITHM_KIND),
    ]
    times = Counter(factor.key for factor in found)
    return {f.key if times[f.key] == 1 else f.dotted: f for f in found}


FACTORS: dict[str, Factor] = _all_factors()
NAMES: dict[str, str] = {name_: name_ for name_ in FACTORS} | {
    factor.dotted: name_ for name_, factor in FACTORS.items()
}


def canonical_factor(text: str) -> str | None:
    """The one name of a factor written plain or dotted; None when there is no such factor."""
    return NAMES.get(text)


def fill_from_matrix(
    data: Mapping[str, Any], matrix: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """`data` with each field that only the matrix gives set to its factor's first level."""
    filled = dict(data)
    for name_, levels in matrix.items():
        factor = FACTORS[name_]
        if factor.section == "algorithm" or not levels:
            continue
        if not factor.section:
            filled.setdefault(factor.key, levels[0])
            continue
        section = filled.get(factor.section, {})
        if isinstance(section, Mapping) and not {factor.key, factor.field} & section.keys():
            filled[factor.section] = {**section, factor.key: levels[0]}
    return filled


def combinations(matrix: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Every combination of levels; the last factor varies fastest."""
    for levels in product(*matrix.values()):
        yield dict(zip(matrix, levels, strict=True))


class Cells:
    """Which combinations of a matrix an entry matches, as the bits of a number, the first the lowest.

    A campaign may have 10,000 cells and thousands of entries: comparing each with each takes minutes.
    """

    def __init__(self, matrix: Mapping[str, Sequence[str]]) -> None:
        self._with: Counter[tuple[str, str]] = Counter()
        self.all = 0
        for index, cell in enumerate(combinations(matrix)):
            self.all |= 1 << index
            for level in cell.items():
                self._with[level] |= 1 << index

    def matching(self, entry: Mapping[str, str]) -> int:
        """The combinations that have every level that the entry names."""
        found = self.all
        for level in entry.items():
            found &= self._with[level]
        return found


def matches(cell: Mapping[str, str], entry: Mapping[str, str]) -> bool:
    """Whether a cell has every level that the entry names."""
    return all(cell[name_] == level for name_, level in entry.items())
