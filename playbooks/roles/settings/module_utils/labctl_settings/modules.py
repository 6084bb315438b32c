"""Modules of the kernel."""

from __future__ import annotations

from pathlib import Path

from .thing import Absent, Refused, State, Thing, run

_SYS = Path("/sys/module")
_SAME = {"Y": "1", "N": "0"}


class Module(Thing):
    """A module, loaded, with `parameters` as they are asked; one that is built in is loaded too.

    A parameter that is not so means that the module is loaded anew, which its users prevent.
    """

    kind = "module"

    def now(self) -> State:
        names = self.asked.get("parameters", {})
        return {
            "loaded": (_SYS / self.name).is_dir(),
            "parameters": {name: self._parameter(name) for name in names},
        }

    def wanted(self, before: State) -> State:
        asked = self.asked.get("parameters", {})
        return {"loaded": True, "parameters": {name: str(value) for name, value in asked.items()}}

    def put(self, state: State) -> None:
        if (_SYS / self.name).is_dir():
            try:
                run("modprobe", "--remove", self.name)
            except Refused as error:
                raise Refused(
                    f"{error}. Mend: end what uses it (machines, for KVM), or reboot the host"
                ) from None
        if state["loaded"]:
            options = [f"{name}={value}" for name, value in state["parameters"].items()]
            run("modprobe", self.name, *options)

    def changeable(self) -> None:
        if (_SYS / self.name).is_dir():
            return
        try:
            run("modprobe", "--dry-run", self.name)
        except (Absent, Refused):
            release = Path("/proc/sys/kernel/osrelease").read_text(encoding="ascii").strip()
            raise Absent(f"the kernel {release} has no module {self.name}") from None

    def said(self, state: State) -> str:
        words = [f"{name}={value}" for name, value in state["parameters"].items()]
        return " ".join(["loaded" if state["loaded"] else "not loaded", *words])

    def _parameter(self, name: str) -> str:
        path = _SYS / self.name / "parameters" / name
        text = path.read_text(encoding="ascii").strip() if path.exists() else ""
        return _SAME.get(text, text)
