"""Factors: which scalars a matrix can vary, and the canonical form of a matrix.

`shape` works on the plain data of a file (mappings, lists, texts), so that the faults of a matrix
are found in the same reading as all others.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from labctl.campaign.scalars import Scalar, choice, name, nearest, shown
from labctl.campaign.specs import (
    ALGORITHM_KIND,
    TRANSPORT,
    AlgorithmSpec,
    GuestSpec,
    LimitsSpec,
    LinkSpec,
    Spec,
    file_name_of,
)
from labctl.errors import CampaignError, InputError

MAX_CELLS = 10_000
VARIANT_NAME = name(
    "a variant's name",
    r"[a-z][a-z0-9_-]{0,39}",
    "write at most 40 lower-case letters, digits, `_` or `-`, a letter first",
)
BUILT_IN_NAMES = ("stop_and_copy", "precopy", "postcopy", "hybrid")

Path = tuple[str | int, ...]
"""Where in a file: keys and indices from the top."""


@dataclass(frozen=True)
class Factor:
    """A scalar that a matrix can vary."""

    section: str
    """guest, link, limits, algorithm, or "" for what stands at the top"""
    field: str
    """the field of the section's model, in Python"""
    scalar: Scalar

    @property
    def key(self) -> str:
        """Its name in the file."""
        return file_name_of(self.field)

    @property
    def dotted(self) -> str:
        """The name that is never ambiguous: `guest.write_rate`."""
        return f"{self.section}.{self.key}" if self.section else self.key


@dataclass(frozen=True)
class Problem:
    """A fault, where in the data it is, and how to mend it."""

    path: Path
    fault: str
    mend: str

    def at(self, place: str | None) -> CampaignError:
        """The error that says so."""
        return CampaignError(self.fault, place=place, mend=self.mend)


@dataclass
class Shape:
    """A matrix in canonical form, and what is wrong with it."""

    matrix: dict[str, tuple[str, ...]] = field(default_factory=dict)
    exclude: tuple[dict[str, str], ...] = ()
    include: tuple[dict[str, str], ...] = ()
    problems: list[Problem] = field(default_factory=list)

    def raise_problems(self) -> None:
        """Raises CampaignError when there are any."""
        if self.problems:
            raise CampaignError.of(
                [problem.at(path_text(problem.path)) for problem in self.problems]
            )


def path_text(path: Path) -> str:
    """A path as a person writes it: `matrix.write_rate[2]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "campaign"


def scalar_fields(section: str, model: type[Spec]) -> Iterator[Factor]:
    """Each field of `model` that holds one value."""
    for name_, info in model.model_fields.items():
        for extra in info.metadata:
            if isinstance(extra, Scalar):
                yield Factor(section, name_, extra)


def _all_factors() -> dict[str, Factor]:
    """Every factor by its canonical name: plain where that is unambiguous."""
    found = [
        Factor("", "algorithm", VARIANT_NAME),
        Factor("", "transport", TRANSPORT),
        *scalar_fields("guest", GuestSpec),
        *scalar_fields("link", LinkSpec),
        *scalar_fields("limits", LimitsSpec),
        *(f for f in scalar_fields("algorithm", AlgorithmSpec) if f.scalar is not ALGORITHM_KIND),
    ]
    times = Counter(factor.key for factor in found)
    return {f.key if times[f.key] == 1 else f.dotted: f for f in found}


FACTORS: dict[str, Factor] = _all_factors()
_NAMES: dict[str, str] = {name_: name_ for name_ in FACTORS} | {
    factor.dotted: name_ for name_, factor in FACTORS.items()
}


def canonical_factor(text: str) -> str | None:
    """The one name of a factor written plain or dotted; None when there is no such factor."""
    return _NAMES.get(text)


def shape(data: Mapping[Any, Any]) -> Shape:
    """The canonical matrix, exclude and include of a campaign's plain data, with every problem."""
    own = data.get("algorithms")
    variants = [*BUILT_IN_NAMES, *(str(key) for key in own)] if isinstance(own, Mapping) else None
    shaper = _Shaper(list(dict.fromkeys(variants or BUILT_IN_NAMES)))
    shaper.variants_own(own)
    shaper.matrix(data.get("matrix", {}))
    if "algorithm" in data:
        shaper.level(("algorithm",), "algorithm", data["algorithm"])
    shaper.overridden(own)
    shaper.exclude(data.get("exclude", ()))
    shaper.include(data.get("include", ()))
    return shaper.shape


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


class _Shaper:
    """Builds a `Shape`, one part of the data after the other."""

    def __init__(self, variants: list[str]) -> None:
        self.variants = variants
        self.algorithm = choice(*variants)
        self.shape = Shape()

    def problem(self, path: Path, fault: str, mend: str) -> None:
        self.shape.problems.append(Problem(path, fault, mend))

    def variants_own(self, own: object) -> None:
        """The names of the campaign's own variants; a built-in name keeps its kind."""
        if not isinstance(own, Mapping):
            return
        for key, variant in own.items():
            try:
                VARIANT_NAME.read(key)
            except InputError as error:
                self.problem(("algorithms", str(key)), error.fault, error.mend or "")
            kind = variant.get("kind", key) if isinstance(variant, Mapping) else key
            if key in BUILT_IN_NAMES and kind != key and kind in BUILT_IN_NAMES:
                self.problem(
                    ("algorithms", key, "kind"),
                    f"`{key}` is built in and its kind is {key}, not {kind}",
                    f"write `kind: {key}`, or give the variant another name",
                )

    def factor(self, path: Path, text: object) -> str | None:
        name_ = canonical_factor(str(text))
        if name_ is None:
            self.problem(path, f"{shown(text)} is not a factor", nearest(str(text), list(_NAMES)))
        return name_

    def level(self, path: Path, factor: str, value: object) -> str | None:
        """The canonical text of one level."""
        if value is None or value == "" or isinstance(value, Mapping | list | tuple):
            self.problem(path, f"a level of `{factor}` is {shown(value)}", "write one value")
            return None
        scalar = self.algorithm if factor == "algorithm" else FACTORS[factor].scalar
        try:
            return scalar.canonical(str(value))
        except InputError as error:
            self.problem(path, f"{factor}: {error.fault}", error.mend or "")
            return None

    def matrix(self, matrix: object) -> None:
        if not isinstance(matrix, Mapping):
            self.problem(("matrix",), f"the matrix is {shown(matrix)}", "write `factor: [levels]`")
            return
        for key, levels in matrix.items():
            path: Path = ("matrix", str(key))
            name_ = self.factor(path, key)
            if name_ in self.shape.matrix:
                self.problem(path, f"`{name_}` is a factor twice", "join their levels in one list")
            elif not isinstance(levels, list | tuple):
                self.problem(path, f"the levels of `{key}` are no list", f"write `{key}: [...]`")
            elif not levels:
                self.problem(path, f"`{key}` has no levels", "name a level, or leave it out")
            elif name_ is not None:
                self.shape.matrix[name_] = self.levels(path, name_, levels)
        self.count()

    def levels(self, path: Path, factor: str, levels: Sequence[object]) -> tuple[str, ...]:
        first: dict[str, object] = {}
        for index, value in enumerate(levels):
            text = self.level((*path, index), factor, value)
            if text in first:
                same = f" (it is {first[text]})" if first[text] != value else ""
                self.problem(
                    (*path, index),
                    f"{shown(value)} is a level of `{factor}` already{same}",
                    "name each level once; `repetitions` repeats all of them",
                )
            elif text is not None:
                first[text] = value
        return tuple(first)

    def count(self) -> None:
        cells = math.prod(len(levels) for levels in self.shape.matrix.values())
        if cells > MAX_CELLS:
            self.problem(
                ("matrix",),
                f"the matrix has {cells} cells",
                f"at most {MAX_CELLS} are possible: use fewer factors or levels",
            )

    def overridden(self, own: object) -> None:
        """An option that a variant sets and the matrix varies: one of the two would be a lie."""
        if not isinstance(own, Mapping):
            return
        used = self.shape.matrix.get("algorithm", ())
        options = [f for n, f in FACTORS.items() if n in self.shape.matrix]
        for variant in (v for v in used if isinstance(own.get(v), Mapping)):
            for option in (f for f in options if f.section == "algorithm"):
                if option.key in own[variant]:
                    self.problem(
                        ("algorithms", variant, option.key),
                        f"`{variant}` sets `{option.key}`, and the matrix varies it",
                        "take it out of one of the two",
                    )

    def entries(self, part: str, data: object) -> Iterator[tuple[int, dict[str, str], bool]]:
        """Each entry of `exclude` or `include` in canonical form, and whether it is whole."""
        if not isinstance(data, list | tuple):
            self.problem((part,), f"`{part}` is no list", "write a list of `{factor: level}`")
            return
        for index, entry in enumerate(data):
            if not isinstance(entry, Mapping) or not entry:
                self.problem(
                    (part, index), f"{shown(entry)} is not an entry", "write `{factor: level}`"
                )
                continue
            before = len(self.shape.problems)
            found: dict[str, str] = {}
            for key, value in entry.items():
                path: Path = (part, index, str(key))
                name_ = self.factor(path, key)
                if name_ is not None and name_ not in self.shape.matrix:
                    self.problem(
                        path,
                        f"`{name_}` is not a factor of the matrix",
                        nearest(name_, list(self.shape.matrix)),
                    )
                elif name_ is not None:
                    found[name_] = self.level(path, name_, value) or ""
            yield index, found, len(self.shape.problems) == before

    def exclude(self, data: object) -> None:
        left = list(self.combinations()) if not self.shape.problems else None
        kept: list[dict[str, str]] = []
        for index, entry, whole in self.entries("exclude", data):
            if not whole:
                continue
            kept.append(entry)
            if left is None:
                self.known_levels(index, entry)
                continue
            still = [cell for cell in left if not matches(cell, entry)]
            if len(still) == len(left) and self.known_levels(index, entry):
                self.problem(
                    ("exclude", index),
                    "this matches no cell that an earlier entry has left",
                    "take it out",
                )
            left = still
        self.shape.exclude = tuple(kept)

    def known_levels(self, index: int, entry: Mapping[str, str]) -> bool:
        """Whether each level of an exclude is one of the matrix."""
        known = True
        for name_, level in entry.items():
            levels = self.shape.matrix[name_]
            if level not in levels:
                known = False
                self.problem(
                    ("exclude", index, name_),
                    f"this matches no cell: `{level}` is not a level of `{name_}`",
                    nearest(level, list(levels)),
                )
        return known

    def include(self, data: object) -> None:
        kept: list[dict[str, str]] = []
        for index, entry, whole in self.entries("include", data):
            absent = [name_ for name_ in self.shape.matrix if name_ not in entry]
            if not whole:
                continue
            if absent:
                self.problem(
                    ("include", index),
                    f"an added cell gives every factor, and {', '.join(absent)} is missing",
                    f"add `{absent[0]}: ...`",
                )
            elif entry in kept or (self.in_product(entry) and not self.is_excluded(entry)):
                self.problem(
                    ("include", index), "this cell is in the campaign already", "take it out"
                )
            else:
                kept.append(entry)
        self.shape.include = tuple(kept)

    def combinations(self) -> Iterator[dict[str, str]]:
        yield from combinations(self.shape.matrix)

    def in_product(self, entry: Mapping[str, str]) -> bool:
        return all(level in self.shape.matrix[name_] for name_, level in entry.items())

    def is_excluded(self, entry: Mapping[str, str]) -> bool:
        return any(matches(entry, out) for out in self.shape.exclude)


def combinations(matrix: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Every combination of levels; the last factor varies fastest."""
    for levels in product(*matrix.values()):
        yield dict(zip(matrix, levels, strict=True))


def matches(cell: Mapping[str, str], entry: Mapping[str, str]) -> bool:
    """Whether a cell has every level that the entry names."""
    return all(cell[name_] == level for name_, level in entry.items())
