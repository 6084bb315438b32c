"""Users that nobody logs in as."""

from __future__ import annotations

import grp
import pwd

from .thing import Refused, State, Thing, run


class User(Thing):
    """A system user, member of those of `groups` that there are. None: there is no such user."""

    kind = "user"

    def now(self) -> State:
        try:
            pwd.getpwnam(self.name)
        except KeyError:
            return None
        return {"groups": sorted(g.gr_name for g in grp.getgrall() if self.name in g.gr_mem)}

    def wanted(self, before: State) -> State:
        there = {group.gr_name for group in grp.getgrall()}
        joined = there.intersection(self.asked.get("groups", []))
        return {"groups": sorted(joined.union(before["groups"] if before else []))}

    def put(self, state: State) -> None:
        now = self.now()
        if state is None:
            try:
                run("userdel", self.name)
            except Refused as error:
                raise Refused(f"{error}. Mend: end what runs as {self.name}") from None
            return
        if now is None:
            run(
                *("useradd", "--system", "--user-group", "--no-create-home"),
                *("--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"),
                *("--comment", "labctl's machines", self.name),
            )
        have = set(now["groups"]) if now else set()
        for group in set(state["groups"]) - have:
            run("gpasswd", "--add", self.name, group)
        for group in have - set(state["groups"]):
            run("gpasswd", "--delete", self.name, group)

    def said(self, state: State) -> str:
        if state is None:
            return "absent"
        return f"in {', '.join(state['groups'])}" if state["groups"] else "in no group but its own"
