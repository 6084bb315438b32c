"""Interfaces that are bonded into one."""

from __future__ import annotations

from pathlib import Path

from .links import refuse_if_it_carries_ssh
from .thing import Refused, State, Thing, run

_SYS = Path("/sys/class/net")


class Bond(Thing):
    """A bond of `members`, its `options` as `ip link add ... type bond` takes them, `mode` among them.

    A member goes down before it is bonded, and is up in the bond; `up` says which were up.
    """

    kind = "bond"

    def now(self) -> State:
        bonding = _SYS / self.name / "bonding"
        if not (_SYS / self.name).exists():
            members, mode = None, None
        elif not bonding.exists():
            raise Refused(f"{self.name} is there, and is no bond. Mend: give the bond another name")
        else:
            members = sorted((bonding / "slaves").read_text(encoding="ascii").split())
            mode = (bonding / "mode").read_text(encoding="ascii").split()[0]
        named = set(members or []).union(self.asked.get("members", []))
        return {"members": members, "mode": mode, "up": [n for n in sorted(named) if _is_up(n)]}

    def wanted(self, before: State) -> State:
        members = sorted(self.asked["members"])
        return {"members": members, "mode": self.asked["options"]["mode"], "up": members}

    def put(self, state: State) -> None:
        if self.now()["members"] is not None:
            run("ip", "link", "delete", "dev", self.name)
        if state["members"] is not None:
            asked = self.asked.get("options", {"mode": state["mode"]})
            options = [str(word) for option in asked.items() for word in option]
            run("ip", "link", "add", "name", self.name, "type", "bond", *options)
            run("ip", "link", "set", "dev", self.name, "up")
            for member in state["members"]:
                run("ip", "link", "set", "dev", member, "down")
                run("ip", "link", "set", "dev", member, "master", self.name)
        for member in state["up"]:
            run("ip", "link", "set", "dev", member, "up")

    def changeable(self) -> None:
        members = self.asked.get("members", [])
        missing = [name for name in members if not (_SYS / name).exists()]
        if missing:
            raise Refused(f"there is no interface {', '.join(missing)} to bond into {self.name}")
        refuse_if_it_carries_ssh(self.name, *members)

    def said(self, state: State) -> str:
        if state["members"] is None:
            return "absent"
        return f"{', '.join(state['members'])} in mode {state['mode']}"


def _is_up(name: str) -> bool:
    flags = _SYS / name / "flags"
    return flags.exists() and bool(int(flags.read_text(encoding="ascii"), 16) & 1)
