"""Who may use a file that is there, such as a device."""

from __future__ import annotations

import grp
import os
from pathlib import Path

from .thing import Absent, State, Thing


class Access(Thing):
    """`group` and `mode` of a file."""

    kind = "access"

    def now(self) -> State:
        try:
            told = Path(self.name).stat()
        except FileNotFoundError:
            raise Absent(f"{self.name} is not there") from None
        return {"group": told.st_gid, "mode": f"{told.st_mode & 0o7777:04o}"}

    def wanted(self, before: State) -> State:
        try:
            group = grp.getgrnam(self.asked["group"]).gr_gid
        except KeyError:
            raise Absent(f"there is no group {self.asked['group']}") from None
        return {"group": group, "mode": self.asked["mode"]}

    def put(self, state: State) -> None:
        try:
            os.chown(self.name, -1, state["group"])
            Path(self.name).chmod(int(state["mode"], 8))
        except OSError as error:
            raise Absent(f"{self.name}: {error.strerror}") from None

    def changeable(self) -> None:
        if os.statvfs(self.name).f_flag & os.ST_RDONLY:
            raise Absent(f"{self.name} is read-only here, as in a container: it is the machine's")

    def said(self, state: State) -> str:
        return f"group {state['group']}, mode {state['mode']}"
