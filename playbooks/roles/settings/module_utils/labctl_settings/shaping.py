"""What shapes what leaves an interface: a rate, and what netem does to packets."""

from __future__ import annotations

import json
import zlib

from .links import refuse_if_it_carries_ssh
from .thing import Refused, State, Thing, run


class Shaping(Thing):
    """`shaper` (tbf or htb), `rate`, `burst`, `latency` and `netem`, in tc's own words.

    tc prints a queue in other words than it was given; so ours has a handle made of the words. The state is the root queue's
    handle, None where the kernel has put its own there.
    """

    kind = "shaping"

    def now(self) -> State:
        queues = json.loads(run("tc", "-json", "qdisc", "show", "dev", self.name) or "[]")
        roots = [queue["handle"] for queue in queues if queue.get("root")]
        return roots[0] if roots and roots[0] != "0:" else None

    def wanted(self, before: State) -> State:
        if before is not None:
            raise Refused(
                f"{self.name} is shaped already, by somebody else. "
                f"Mend: tc qdisc delete dev {self.name} root"
            )
        # Below 0x8000: the kernel hands out those above.
        return f"{zlib.crc32(json.dumps(self.asked, sort_keys=True).encode()) % 0x7FF0 + 1:x}:"

    def put(self, state: State) -> None:
        if self.now() is not None:
            run("tc", "qdisc", "delete", "dev", self.name, "root")
        if state is None:
            return
        try:
            for words in self._commands(state):
                run("tc", *words[:2], "dev", self.name, *words[2:])
        except Refused as error:
            if "unknown" not in str(error):
                raise
            raise Refused(
                f"{error}. Mend: a kernel that has this queue (netem is in linux-image-amd64)"
            ) from None

    def _commands(self, handle: str) -> list[list[str]]:
        asked, at = self.asked, ["root", "handle", handle]
        commands = []
        if asked.get("rate") and asked.get("shaper", "tbf") == "tbf":
            bucket = ["rate", asked["rate"], "burst", asked["burst"], "latency", asked["latency"]]
            commands.append(["qdisc", "add", *at, "tbf", *bucket])
            at = ["parent", f"{handle}1"]
        elif asked.get("rate"):
            bucket = ["rate", asked["rate"], "burst", asked["burst"]]
            commands += [
                ["qdisc", "add", *at, "htb", "default", "1"],
                ["class", "add", "parent", handle, "classid", f"{handle}1", "htb", *bucket],
            ]
            at = ["parent", f"{handle}1"]
        if asked.get("netem"):
            commands.append(["qdisc", "add", *at, "netem", *asked["netem"].split()])
        return commands

    def changeable(self) -> None:
        refuse_if_it_carries_ssh(self.name)

    def said(self, state: State) -> str:
        if state is None:
            return "not shaped"
        words = (self.asked.get(word) for word in ("shaper", "rate", "netem"))
        return " ".join(word for word in words if word) or "shaped"
