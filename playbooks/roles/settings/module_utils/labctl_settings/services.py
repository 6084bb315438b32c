"""Services of systemd: whether one runs, and whether it starts with the host."""

from __future__ import annotations

from .thing import Absent, State, Thing, run


class Service(Thing):
    """`running` and `enabled`, each left as it is where it is not asked."""

    kind = "service"

    def now(self) -> State:
        asked = "LoadState,ActiveState,UnitFileState"
        lines = run("systemctl", "show", self.name, "--property", asked).splitlines()
        said = dict(line.split("=", 1) for line in lines)
        if said["LoadState"] not in {"loaded", "masked"}:
            raise Absent(f"there is no service {self.name}")
        running = said["ActiveState"] in {"active", "activating", "reloading"}
        return {"running": running, "enabled": said["UnitFileState"] == "enabled"}

    def wanted(self, before: State) -> State:
        return {what: self.asked.get(what, before[what]) for what in ("running", "enabled")}

    def put(self, state: State) -> None:
        now = self.now()
        if state["enabled"] != now["enabled"]:
            run("systemctl", "--quiet", "enable" if state["enabled"] else "disable", self.name)
        if state["running"] and not now["running"]:
            # A unit is read once; what changed in its files since would not hold.
            run("systemctl", "daemon-reload")
            run("systemctl", "start", self.name)
        elif now["running"] and not state["running"]:
            run("systemctl", "stop", self.name)

    def said(self, state: State) -> str:
        return ", ".join(
            (what if state[what] else f"not {what}") for what in ("running", "enabled")
        )
