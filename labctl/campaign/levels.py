"""Names and levels: what a campaign's own names may be, what a factor's text stands for canonically, and their faults."""

from collections.abc import Mapping
from typing import Any

from labctl.campaign.factors import FACTORS, NAMES, VARIANT_NAME, canonical_factor
from labctl.campaign.problems import Path, Problem
from labctl.campaign.scalars import NONE, choice, nearest, shown
from labctl.campaign.specs import BUILT_IN_NAMES, CONSTANT, PROFILE
from labctl.errors import InputError


class Levels:
    """Reads names and levels of one campaign's plain data; what is wrong with one becomes a problem, and None is read."""

    def __init__(self, data: Mapping[Any, Any], problems: list[Problem]) -> None:
        own, profiles, qemus = (data.get(key) for key in ("algorithms", "profiles", "qemus"))
        self._own = own if isinstance(own, Mapping) else {}
        self._profiles = profiles if isinstance(profiles, Mapping) else {}
        self._qemus = qemus if isinstance(qemus, Mapping) else {}
        variants = dict.fromkeys([*BUILT_IN_NAMES, *map(str, self._own)])
        self._named = {
            "algorithm": choice(*variants),
            "profile": choice(CONSTANT, *map(str, self._profiles)),
        }
        self._problems = problems

    def problem(self, path: Path, fault: str, mend: str) -> None:
        """One more problem."""
        self._problems.append(Problem(path, fault, mend))

    def check_variants(self) -> None:
        """The names of the campaign's own variants; a built-in name keeps its kind."""
        for key, variant in self._own.items():
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

    def check_qemus(self) -> None:
        """The campaign's own names for QEMUs, and what they stand for."""
        for key, value in self._qemus.items():
            path: Path = ("qemus", str(key))
            if str(key).startswith("/"):
                self.problem(path, f"`{key}` is a path, not a name", "write `name: path`")
            elif self.level(path, "qemu", key) and not str(value).startswith("/"):
                self.problem(path, f"`{key}` is {shown(value)}, not a path", "write its whole path")
            else:
                self.level(path, "qemu", value)

    def check_profiles(self) -> None:
        """The names of the campaign's profiles."""
        for key in self._profiles:
            try:
                PROFILE.read(key)
            except InputError as error:
                self.problem(("profiles", str(key)), error.fault, error.mend or "")
            if key == CONSTANT:
                self.problem(("profiles", key), f"`{key}` is always there", "give it another name")

    def factor(self, path: Path, text: object) -> str | None:
        """The one name of a factor."""
        name_ = canonical_factor(str(text))
        if name_ is None:
            self.problem(path, f"{shown(text)} is not a factor", nearest(str(text), list(NAMES)))
        return name_

    def level(self, path: Path, factor: str, value: object) -> str | None:
        """The canonical text of one level."""
        if value is None or value == "" or isinstance(value, Mapping | list | tuple):
            self.problem(path, f"a level of `{factor}` is {shown(value)}", "write one value")
            return None
        scalar = self._named.get(factor, FACTORS[factor].scalar)
        try:
            text = scalar.canonical(str(value))
        except InputError as error:
            self.problem(path, f"{factor}: {error.fault}", error.mend or "")
            return None
        if factor == "qemu" and text[0] != "/" and text not in (NONE, *self._qemus):
            known = [str(key) for key in self._qemus]
            self.problem(path, f"`{text}` is no name under `qemus`", nearest(text, known))
            return None
        return text
