"""Reading the small files in which the kernel and its distribution say what is in force.

Nothing here raises for what is not there, may not be read, or is not what it should be: that is None. In tests the root is
another one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator

_LONGEST_BYTES = 1 << 18


class Tree:
    """The files below a root."""

    def __init__(self, root: str = "/") -> None:
        self._root = root.rstrip("/")

    def path(self, path: str) -> str:
        """Where a file really is."""
        return self._root + path

    def text(self, path: str, limit_bytes: int = _LONGEST_BYTES) -> str | None:
        """What stands in a file, without the space around it; None also when that is nothing.

        :param limit_bytes: what the kernel writes only when it is asked for, as the list of all processors, costs time
        """
        try:
            handle = os.open(self.path(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError):
            return None
        data = b""
        try:
            while len(data) < limit_bytes:
                more = os.read(handle, limit_bytes - len(data))
                if not more:
                    break
                data += more
        except OSError:  # some answer with an error where there is nothing to say
            return None
        finally:
            os.close(handle)
        return data.decode(errors="replace").strip("\0 \t\r\n") or None

    def number(self, path: str) -> int | None:
        """The number that stands in a file."""
        return number(self.text(path))

    def switch(self, path: str) -> bool | None:
        """Whether a file says yes: ``1`` or ``Y``."""
        return {"1": True, "Y": True, "y": True, "0": False, "N": False, "n": False}.get(
            self.text(path) or ""
        )

    def chosen(self, path: str) -> str | None:
        """The word in brackets of a file that lists what may be chosen; all of it where there are no brackets."""
        text = self.text(path)
        for word in (text or "").split():
            if word.startswith("[") and word.endswith("]"):
                return word[1:-1]
        return text

    def fields(self, path: str, separator: str = ":") -> dict[str, str]:
        """The lines ``name: value`` of a file; of those by one name the first."""
        return fields(self.text(path) or "", separator)

    def names(self, path: str) -> list[str]:
        """What is in a folder, sorted."""
        try:
            return sorted(os.listdir(self.path(path)))
        except (OSError, ValueError):
            return []

    def target(self, path: str) -> str | None:
        """The name of what a link leads to."""
        try:
            return os.path.basename(os.readlink(self.path(path))) or None
        except (OSError, ValueError):
            return None

    def is_there(self, path: str) -> bool:
        """Whether there is such a file, of any kind."""
        return os.path.lexists(self.path(path))

    def is_usable(self, path: str) -> bool:
        """Whether this user may read and write it."""
        return os.access(self.path(path), os.R_OK | os.W_OK)

    def distinct(self, paths: Iterable[str]) -> str | None:
        """What files of one kind say that should all say the same: each answer once."""
        return ", ".join(sorted({text for text in map(self.text, paths) if text})) or None


def number(text: str | None) -> int | None:
    """A whole number; None for what is none."""
    try:
        return int(text) if text is not None and len(text) < 32 else None
    except ValueError:
        return None


def real(text: str) -> float | None:
    """A number; None for what is none, or not finite, which JSON has not."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def fields(text: str, separator: str = ":") -> dict[str, str]:
    """The lines ``name: value``; of those by one name the first."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, between, value = line.partition(separator)
        if between:
            found.setdefault(name.strip(), value.strip().strip('"'))
    return found


def members(text: str | None) -> Iterator[int]:
    """The numbers of a list as the kernel writes them: ``0-3,8``."""
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        low, high = number(first), number(last or first)
        if low is not None and high is not None and 0 <= low <= high < 1 << 16:
            yield from range(low, high + 1)
