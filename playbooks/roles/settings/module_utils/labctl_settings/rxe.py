"""RDMA devices in software (soft-RoCE)."""

from __future__ import annotations

import json

from .thing import State, Thing, run


class Rxe(Thing):
    """A soft-RoCE device on the interface `over`. The state is that interface; None: there is no such device."""

    kind = "rxe"

    def now(self) -> State:
        links = json.loads(run("rdma", "-j", "link", "show") or "[]")
        return next((link.get("netdev") for link in links if link["ifname"] == self.name), None)

    def wanted(self, before: State) -> State:
        return self.asked["over"]

    def put(self, state: State) -> None:
        if self.now() is not None:
            run("rdma", "link", "delete", self.name)
        if state is not None:
            run("rdma", "link", "add", self.name, "type", "rxe", "netdev", state)
