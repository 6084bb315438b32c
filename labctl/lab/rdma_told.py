"""What RDMA a host has for migrations, in words."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from labctl.campaign.carriers import SOFTWARE
from labctl.node.rdma import ACTIVE


class Told(NamedTuple):
    """What there is, whether it is as it should be, and the mend where it is not."""

    detail: str
    ok: bool
    mend: str | None = None


def told(said: Mapping[str, Any]) -> Told:
    """Of a host and the lab's own QEMU on it, as both said when they were asked. No RDMA is no fault."""
    port = said.get("rdma_port")
    if port is None:
        others = said["host"].get("rdma") or {}
        names = ", ".join(f"{name} ({device['provider']})" for name, device in others.items())
        beside = f"; {names} belong{'' if len(others) > 1 else 's'} to no such interface"
        return Told(f"none by the interface of migrations{beside if names else ''}", ok=True)
    mtu = f"{port['mtu_bytes']} bytes" if port["mtu_bytes"] else "not known"
    detail = f"{port['device']} ({port['provider']}), port {port['port']} {port['state']}, active MTU {mtu}"
    if port["provider"] in SOFTWARE:
        detail += f": {SOFTWARE[port['provider']]}, in software: for correctness, not for figures"
    if port["state"] != ACTIVE:
        return Told(detail, ok=False, mend="bring its interface up, and what it is joined to")
    if not said["rdma"]:
        return Told(f"{detail}; QEMU was built without RDMA", ok=True)
    return Told(detail, ok=True)
