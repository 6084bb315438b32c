"""What a key of a description means: the tables that the reference page and the comparison of environments read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Key(NamedTuple):
    """One leaf of a description.

    :ivar path: its keys, joined by dots; ``<name>`` stands for any one key
    :ivar kind: ``text``, ``int``, ``float``, ``bool``, a list of one of them, or two of them with ``or``
    :ivar varies: from one moment to the next on a host that nobody has changed
    """

    path: str
    kind: str
    meaning: str
    varies: bool = False

    def names(self, path: Sequence[str]) -> bool:
        """Whether it is what a path leads to, or stands for all that is below it (a last ``*``)."""
        wanted = self.path.split(".")
        if wanted[-1] == "*":
            wanted = wanted[:-1]
            path = path[: len(wanted)]
        return len(wanted) == len(path) and all(
            ours in ("<name>", theirs) for ours, theirs in zip(wanted, path)
        )


def below(prefix: str, keys: Iterable[Key]) -> tuple[Key, ...]:
    """The same keys, one part further down."""
    return tuple(key._replace(path=f"{prefix}.{key.path}") for key in keys)
