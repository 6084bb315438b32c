"""A cell's name: made from its factors, fit for a file name, and readable back.

`precopy,write_rate=400MiBps`: the algorithm first and without its key, then each factor in the
matrix's order. A rate's `/s` is written `ps`, per cent `pct`, each `/` of a path and each `:` between
parts `+`. No level holds a comma, an equals sign or a plus sign. `precopy,write_rate=400MiBps,twin` is
that cell once more: a twin has its cell's factors.
"""

import re
from collections.abc import Mapping, Sequence

from labctl.errors import InputError

MAX_CELL_NAME = 200
"""Leaves room in a file name for a number, an attempt and a suffix."""

_TWIN = ",twin"

_RATE_IN_FILE = re.compile(r"([0-9][0-9.]*[A-Za-z]+)ps", re.ASCII)
_SHARE_IN_FILE = re.compile(r"[0-9][0-9.]*pct", re.ASCII)
_PARTS_IN_FILE = re.compile(r"[0-9]+(\+[0-9]+)+", re.ASCII)


def cell_name(factors: Mapping[str, str]) -> str:
    """The name of the cell with these canonical levels; `algorithm` must be among them."""
    others = [f"{name}={_to_file(level)}" for name, level in factors.items() if name != "algorithm"]
    return ",".join([_to_file(factors["algorithm"]), *others])


def twin_name(name: str) -> str:
    """The name of a cell's twin."""
    return f"{name}{_TWIN}"


def twin_of(name: str) -> str | None:
    """The name of the cell that the cell of this name repeats; None of one that repeats none."""
    return name.removesuffix(_TWIN) if name.endswith(_TWIN) else None


def parse_cell_name(name: str, factor_names: Sequence[str]) -> dict[str, str]:
    """The factors of a cell or of a twin, from its name and the campaign's factors. Raises InputError."""
    algorithm, *others = (twin_of(name) or name).split(",")
    pairs = [("algorithm", "=", algorithm), *(part.partition("=") for part in others)]
    found = {key: _from_file(level) for key, _, level in pairs}
    if list(found) != ["algorithm", *(n for n in factor_names if n != "algorithm")]:
        raise InputError(
            f"`{name}` is not a cell of the factors {', '.join(factor_names)}",
            mend="take a name from the plan",
        )
    return found


def _to_file(level: str) -> str:
    if level.startswith("/"):
        return level.replace("/", "+")
    if level.endswith("%"):
        return f"{level[:-1]}pct"
    return f"{level[:-2]}ps" if level.endswith("/s") else level.replace(":", "+")


def _from_file(text: str) -> str:
    if text.startswith("+"):
        return text.replace("+", "/")
    if _SHARE_IN_FILE.fullmatch(text):
        return f"{text[:-3]}%"
    if _PARTS_IN_FILE.fullmatch(text):
        return text.replace("+", ":")
    return re.sub(_RATE_IN_FILE, r"\1/s", text) if _RATE_IN_FILE.fullmatch(text) else text
