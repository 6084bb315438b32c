"""Values of the kernel: files under /sys and /proc that hold one word."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .thing import Absent, State, Thing

_CHOSEN = re.compile(r"\[(\S+)\]")


class Value(Thing):
    """`name` is a path, `is` the value. Of a choice, such as `always [madvise] never`, the value is what is chosen."""

    kind = "value"

    def now(self) -> State:
        try:
            text = Path(self.name).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            raise Absent(f"{self.name} is not there") from None
        except OSError as error:
            raise Absent(f"{self.name} cannot be read: {error.strerror}") from None
        chosen = _CHOSEN.search(text)
        return chosen[1] if chosen else text

    def wanted(self, before: State) -> State:
        return str(self.asked["is"])

    def put(self, state: State) -> None:
        try:
            Path(self.name).write_text(f"{state}\n", encoding="ascii")
        except OSError as error:
            raise Absent(f"{self.name} does not take {state}: {error.strerror}") from None

    def changeable(self) -> None:
        if not os.access(self.name, os.W_OK):
            raise Absent(f"{self.name} is read-only here, as in a container: it is the machine's")
