"""The interfaces of the agent's network namespace.

From rtnetlink and ethtool's ioctl: /sys/class/net shows another namespace's, where it was mounted in one. Of addresses there
is the number only, of hardware addresses nothing.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

from .. import netlink
from .ethtool import Ethtool
from .keys import Key
from .tree import Tree

_RTM_GETLINK, _RTM_GETADDR = 18, 22
_IFINFOMSG, _IFADDRMSG = struct.Struct("=BxHiII"), struct.Struct("=BBBBI")
_IFF_LOOPBACK = 0x8
_IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_QDISC, _IFLA_MASTER = 3, 4, 5, 6, 10
_IFLA_TXQLEN, _IFLA_OPERSTATE, _IFLA_LINKINFO = 13, 16, 18
_IFLA_NUM_TX_QUEUES, _IFLA_NUM_RX_QUEUES, _IFLA_LINK_NETNSID = 31, 32, 37
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_VLAN_ID = 1, 2, 1
_STATES = ("unknown", "not present", "down", "lower layer down", "testing", "dormant", "up")
_FAMILIES = {2: "ipv4_addresses", 10: "ipv6_addresses"}
_MOST_INTERFACES = 64
_MOST_IRQS = 128

KEYS = (
    Key("interfaces.<name>.kind", "text", "`physical`, or `veth`, `bridge`, `bond`, `vlan` ... as the kernel calls it"),
    Key("interfaces.<name>.state", "text", "`up`, `down`, `unknown` (some drivers do not say) ..."),
    Key("interfaces.<name>.mtu_bytes", "int", "its MTU"),
    Key("interfaces.<name>.speed_mbit_per_s", "int", "its speed, as the driver says"),
    Key("interfaces.<name>.driver", "text", "its driver"),
    Key("interfaces.<name>.driver_version", "text", "the driver's version; the kernel's, where it has none of its own"),
    Key("interfaces.<name>.firmware", "text", "version of its firmware"),
    Key("interfaces.<name>.bus", "text", "where it is plugged in"),
    Key("interfaces.<name>.pci.vendor", "text", "PCI number of who made it"),
    Key("interfaces.<name>.pci.device", "text", "PCI number of what it is"),
    Key("interfaces.<name>.pci.link", "text", "speed and width of its PCI Express link, as negotiated"),
    Key("interfaces.<name>.pci.numa_node", "int", "the NUMA node that it is near to; -1: not known"),
    Key("interfaces.<name>.pci.irqs", "int", "interrupts that it has"),
    Key("interfaces.<name>.pci.irq_cpus", "list of text", "the processors that they may go to: each list that one of them has"),
    Key("interfaces.<name>.queueing_discipline", "text", "the root one"),
    Key("interfaces.<name>.queue_packets", "int", "length of its queue (`txqueuelen`)"),
    Key("interfaces.<name>.rx_queues", "int", "receive queues"),
    Key("interfaces.<name>.tx_queues", "int", "transmit queues"),
    Key("interfaces.<name>.rx_ring_packets", "int", "length of a receive ring"),
    Key("interfaces.<name>.tx_ring_packets", "int", "length of a transmit ring"),
    Key("interfaces.<name>.rx_coalesce_us", "int", "how long an interrupt may wait for more packets"),
    Key("interfaces.<name>.tx_coalesce_us", "int", "the same of sent ones"),
    Key("interfaces.<name>.rx_coalesce_adaptive", "bool", "whether the driver chooses that time"),
    Key("interfaces.<name>.tx_coalesce_adaptive", "bool", "the same of sent ones"),
    Key("interfaces.<name>.rx_pause", "bool", "whether pause frames are obeyed"),
    Key("interfaces.<name>.tx_pause", "bool", "whether they are sent"),
    Key("interfaces.<name>.offloads.<name>", "bool", "`rx_checksum tx_checksum scatter_gather tso gso gro lro`"),
    Key("interfaces.<name>.ipv4_addresses", "int", "how many it has"),
    Key("interfaces.<name>.ipv6_addresses", "int", "how many it has"),
    Key("interfaces.<name>.master", "text", "the bond or bridge that it belongs to"),
    Key("interfaces.<name>.members", "list of text", "of a bond or bridge: what belongs to it"),
    Key("interfaces.<name>.bond_mode", "text", "of a bond: how it spreads packets"),
    Key("interfaces.<name>.bond_hash", "text", "of a bond: what that is decided by"),
    Key("interfaces.<name>.lower", "text", "of a VLAN and the like: the interface below it; of a veth: its other end, where that is in the same namespace"),
    Key("interfaces.<name>.vlan_id", "int", "of a VLAN"),
    Key("interfaces_left_out", "int", f"beyond {_MOST_INTERFACES}; those of bridges and namespaces first"),
)  # fmt: skip


class Link(NamedTuple):
    """What rtnetlink says of an interface; `master` and `lower` are numbers of others, 0 for none."""

    number: int
    flags: int
    name: bytes
    mtu_bytes: int
    qdisc: str
    queue_packets: int
    state: str
    kind: str
    tx_queues: int
    rx_queues: int
    master: int
    lower: int
    vlan_id: int | None


def describe(tree: Tree) -> dict[str, Any]:
    """Every interface but the loopback one."""
    links = [link for link in map(read_link, _dump(_RTM_GETLINK, _IFINFOMSG.size)) if link]
    addresses = [_IFADDRMSG.unpack_from(body) for body in _dump(_RTM_GETADDR, _IFADDRMSG.size)]
    names = {link.number: _text(link.name) for link in links}
    found: dict[str, dict[str, Any]] = {}
    try:
        asking = Ethtool()
    except OSError:
        return {"interfaces": {}, "interfaces_left_out": 0}
    with closing(asking) as driver:
        for link in links:
            if not link.flags & _IFF_LOOPBACK:
                found[_text(link.name)] = _interface(tree, link, driver, names)
    for family, _prefix, _flags, _scope, index in addresses:
        name = names.get(index, "")
        if name in found and family in _FAMILIES:
            found[name][_FAMILIES[family]] += 1
    for name, one in found.items():
        if one["master"] in found:
            found[one["master"]].setdefault("members", []).append(name)
    kept = sorted(found.items(), key=_rank)[:_MOST_INTERFACES]
    return {"interfaces": dict(kept), "interfaces_left_out": len(found) - len(kept)}


def _rank(named: tuple[str, dict[str, Any]]) -> int:
    """What a migration may cross comes first; ends of machines and containers, of which there may be hundreds, last."""
    _name, one = named
    if one["kind"] == "physical":
        return 0
    return 1 if one["kind"] in {"bond", "vlan"} else 3 if one["master"] else 2


def _dump(kind: int, header_bytes: int) -> list[bytes]:
    try:
        return netlink.dump(kind, bytes(header_bytes))
    except OSError:
        return []


def read_link(body: bytes) -> Link | None:
    """One message about an interface; None for what is none."""
    if len(body) < _IFINFOMSG.size:
        return None
    _family, _type, number, flags, _change = _IFINFOMSG.unpack_from(body)
    values = dict(netlink.attributes(body[_IFINFOMSG.size :]))
    info = dict(netlink.attributes(values.get(_IFLA_LINKINFO, b"")))
    kind = _text(info.get(_IFLA_INFO_KIND, b""))
    data = dict(netlink.attributes(info.get(_IFLA_INFO_DATA, b""))) if kind == "vlan" else {}
    state = values.get(_IFLA_OPERSTATE, b"\0")[0]
    return Link(
        number=number,
        flags=flags,
        name=values.get(_IFLA_IFNAME, b"").rstrip(b"\0"),
        mtu_bytes=_number(values.get(_IFLA_MTU)),
        qdisc=_text(values.get(_IFLA_QDISC, b"")),
        queue_packets=_number(values.get(_IFLA_TXQLEN)),
        state=_STATES[state] if state < len(_STATES) else str(state),
        kind=kind,
        tx_queues=_number(values.get(_IFLA_NUM_TX_QUEUES)),
        rx_queues=_number(values.get(_IFLA_NUM_RX_QUEUES)),
        master=_number(values.get(_IFLA_MASTER)),
        # Of a veth, a peer in another namespace, where an index means something else.
        lower=0 if _IFLA_LINK_NETNSID in values else _number(values.get(_IFLA_LINK)),
        vlan_id=struct.unpack("=H", data[_IFLA_VLAN_ID])[0] if _IFLA_VLAN_ID in data else None,
    )


def _number(value: bytes | None) -> int:
    return int(struct.unpack_from("=I", value)[0]) if value else 0


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="backslashreplace")


def _interface(tree: Tree, link: Link, driver: Ethtool, names: dict[int, str]) -> dict[str, Any]:
    said = driver.describe(link.name)
    kind = link.kind or ("physical" if said.get("bus") else "virtual")
    lower = names.get(link.lower) if link.lower != link.number else None
    one = {
        "kind": kind,
        "state": link.state,
        "mtu_bytes": link.mtu_bytes,
        "queueing_discipline": link.qdisc or None,
        "queue_packets": link.queue_packets,
        "rx_queues": link.rx_queues,
        "tx_queues": link.tx_queues,
        **said,
        "ipv4_addresses": 0,
        "ipv6_addresses": 0,
        "master": names.get(link.master),
        "lower": lower,
    }
    if link.vlan_id is not None:
        one["vlan_id"] = link.vlan_id
    if kind == "bond":
        bond = tree.fields(f"/proc/self/net/bonding/{_text(link.name)}")
        one["bond_mode"] = bond.get("Bonding Mode")
        one["bond_hash"] = bond.get("Transmit Hash Policy")
    device = f"/sys/bus/pci/devices/{said.get('bus')}"
    if said.get("bus") and tree.is_there(device):
        one["pci"] = _pci(tree, device)
    return one


def _pci(tree: Tree, device: str) -> dict[str, Any]:
    irqs = tree.names(f"{device}/msi_irqs")
    speed, width = (tree.text(f"{device}/current_link_{what}") for what in ("speed", "width"))
    return {
        "vendor": tree.text(f"{device}/vendor"),
        "device": tree.text(f"{device}/device"),
        "link": f"{speed} x{width}" if speed and width else None,
        "numa_node": tree.number(f"{device}/numa_node"),
        "irqs": len(irqs),
        "irq_cpus": _affinities(tree, irqs[:_MOST_IRQS]),
    }


def _affinities(tree: Tree, irqs: Sequence[str]) -> list[str]:
    asked = (tree.text(f"/proc/irq/{os.path.basename(irq)}/smp_affinity_list") for irq in irqs)
    return list(dict.fromkeys(text for text in asked if text))
