"""The shape of a matrix: canonical names and levels, and every fault of matrix, exclude, include.

It works on plain data (mappings, lists, texts, as a file gives them), so that the faults of a
matrix are found in the same reading as all others, whatever else is wrong with the file.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from labctl.campaign.factors import FACTORS, Cells, matches
from labctl.campaign.levels import Levels
from labctl.campaign.names import MAX_CELL_NAME, cell_name
from labctl.campaign.overrides import sets
from labctl.campaign.problems import Path, Problem, path_text
from labctl.campaign.repetitions import NoiseSpec
from labctl.campaign.scalars import nearest, shown
from labctl.errors import CampaignError

MAX_CELLS = 10_000


@dataclass
class Shape:
    """A matrix in canonical form, and what is wrong with it."""

    matrix: dict[str, tuple[str, ...]] = field(default_factory=dict)
    exclude: tuple[dict[str, str], ...] = ()
    include: tuple[dict[str, str], ...] = ()
    noise: dict[str, Any] = field(default_factory=dict)
    """`noise` with the levels of its `of` canonical; nothing where there is none"""
    problems: list[Problem] = field(default_factory=list)

    def raise_problems(self) -> None:
        """Raises CampaignError when there are any."""
        if self.problems:
            raise CampaignError.of(
                [problem.at(path_text(problem.path)) for problem in self.problems]
            )


def shape(data: Mapping[Any, Any]) -> Shape:
    """The canonical matrix, exclude and include of a campaign's plain data, with every problem."""
    found = Shape()
    levels = Levels(data, found.problems)
    levels.check_profiles()
    levels.check_variants()
    shaper = _Shaper(found, levels)
    shaper.matrix(data.get("matrix", {}))
    levels.check_qemus()
    if isinstance(data.get("qemu"), list | tuple):
        levels.problem(("qemu",), "`qemu` is a list", "write `matrix: {qemu: [...]}`")
    elif data.get("qemu") is not None:
        levels.level(("qemu",), "qemu", data["qemu"])
    if "algorithm" in data:
        levels.level(("algorithm",), "algorithm", data["algorithm"])
    guest = data.get("guest")
    if isinstance(guest, Mapping) and "profile" in guest:
        levels.level(("guest", "profile"), "profile", guest["profile"])
    shaper.overridden(data.get("algorithms"))
    shaper.exclude(data.get("exclude", ()))
    shaper.include(data.get("include", ()))
    shaper.noise(data.get("noise"))
    return found


class _Shaper:
    """Builds a `Shape`, one part of the data after the other."""

    def __init__(self, found: Shape, levels: Levels) -> None:
        self.shape = found
        self.problem = levels.problem
        self.factor = levels.factor
        self.level = levels.level
        self.none_left = False

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
        self.one_form()
        self.count()

    def one_form(self) -> None:
        """Forms that exclude each other are no factors of one matrix: a cell would have both."""
        first: dict[str, str] = {}
        for name_ in self.shape.matrix:
            inside = FACTORS[name_].inside
            other = first.setdefault(inside, name_)
            if inside and other != name_:
                self.problem(
                    ("matrix", name_),
                    f"`{name_}` and `{other}` exclude each other",
                    f"vary one of them, or name variants that differ in their `{inside}`",
                )

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
        """What a plan and a file system bear."""
        longest = {
            name_: max(levels, key=len) for name_, levels in self.shape.matrix.items() if levels
        }
        if len(cell_name({"algorithm": "", **longest})) > MAX_CELL_NAME:
            self.problem(
                ("matrix",),
                f"the names of cells would be longer than {MAX_CELL_NAME} characters",
                "use fewer factors or shorter names of variants",
            )
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
        varied = [FACTORS[name] for name in self.shape.matrix if name in FACTORS]
        for variant in (v for v in used if isinstance(own.get(v), Mapping)):
            for option in (factor for factor in varied if factor.section == "algorithm"):
                if sets(own[variant], option):
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
            yield index, *self.entry((part, index), entry)

    def entry(self, at: Path, entry: Mapping[Any, Any]) -> tuple[dict[str, str], bool]:
        """An entry in canonical form, and whether it is whole."""
        before = len(self.shape.problems)
        found: dict[str, str] = {}
        for key, value in entry.items():
            path: Path = (*at, str(key))
            name_ = self.factor(path, key)
            if name_ is not None and name_ not in self.shape.matrix:
                self.problem(
                    path,
                    f"`{name_}` is not a factor of the matrix",
                    nearest(name_, list(self.shape.matrix)),
                )
            elif name_ is not None:
                found[name_] = self.level(path, name_, value) or ""
        return found, len(self.shape.problems) == before

    def exclude(self, data: object) -> None:
        cells = Cells(self.shape.matrix) if not self.shape.problems else None
        left = cells.all if cells else None
        kept: list[dict[str, str]] = []
        for index, entry, whole in self.entries("exclude", data):
            if not whole:
                continue
            kept.append(entry)
            if cells is None or left is None:
                self.known_levels(("exclude", index), entry)
                continue
            still = left & ~cells.matching(entry)
            if still == left and self.known_levels(("exclude", index), entry):
                self.problem(
                    ("exclude", index),
                    "this matches no cell that an earlier entry has left",
                    "take it out",
                )
            left = still
        self.shape.exclude = tuple(kept)
        self.none_left = left == 0

    def known_levels(self, at: Path, entry: Mapping[str, str]) -> bool:
        """Whether each level of an entry is one of the matrix."""
        known = True
        for name_, level in entry.items():
            levels = self.shape.matrix[name_]
            if level not in levels:
                known = False
                self.problem(
                    (*at, name_),
                    f"this matches no cell: `{level}` is not a level of `{name_}`",
                    f"the levels are {', '.join(levels)}",
                )
        return known

    def include(self, data: object) -> None:
        kept: list[dict[str, str]] = []
        known: set[frozenset[tuple[str, str]]] = set()
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
            elif frozenset(entry.items()) in known or (
                self.in_product(entry) and not self.is_excluded(entry)
            ):
                self.problem(
                    ("include", index), "this cell is in the campaign already", "take it out"
                )
            else:
                kept.append(entry)
                known.add(frozenset(entry.items()))
        self.shape.include = tuple(kept)
        if self.none_left and not kept and not self.shape.problems:
            self.problem(("exclude",), "no cell is left", "exclude less, or add cells by `include`")

    def noise(self, data: object) -> None:
        """Which cell has a twin: `of` names levels as an `exclude` does, and has to match a cell."""
        if isinstance(data, NoiseSpec):
            data = data.model_dump()
        if not isinstance(data, Mapping):
            return  # its field says so
        self.shape.noise = {"noise": data}
        of = data.get("of")
        if not isinstance(of, Mapping):
            return
        whole_so_far = not self.shape.problems
        entry, whole = self.entry(("noise", "of"), of)
        self.shape.noise = {"noise": {**data, "of": entry}}
        if not (whole and whole_so_far) or any(
            e.items() >= entry.items() for e in self.shape.include
        ):
            return
        cells = Cells(self.shape.matrix)
        left = cells.matching(entry)
        for out in self.shape.exclude:
            left &= ~cells.matching(out)
        if not left and self.known_levels(("noise", "of"), entry):
            self.problem(
                ("noise", "of"), "no cell has these levels: they are excluded", "name another cell"
            )

    def in_product(self, entry: Mapping[str, str]) -> bool:
        return all(level in self.shape.matrix[name_] for name_, level in entry.items())

    def is_excluded(self, entry: Mapping[str, str]) -> bool:
        return any(matches(entry, out) for out in self.shape.exclude)
