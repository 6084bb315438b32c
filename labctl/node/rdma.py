"""The RDMA port that belongs to an interface, and where on it a QEMU listens.

What every device of the host is, :mod:`.describe.rdma` says; this is the one that a migration crosses.
"""

from __future__ import annotations

import ctypes
import json
from contextlib import suppress
from typing import Any

from .commands import run
from .describe import rdma
from .describe.tree import Tree
from .protocol import RequestError

ACTIVE = "ACTIVE"
_VERBS = "libibverbs.so.1"
"""comes with QEMU, where that can do RDMA"""
_PORT_ATTRIBUTES_BYTES = 256
_ACTIVE_MTU_AT = 8
"""in `struct ibv_port_attr`: behind the state and the greatest MTU that the port could have"""

Port = dict[str, Any]
"""``device port provider link_layer state mtu_bytes``"""


def find(interface: str, root: str = "/") -> Port | None:
    """The RDMA port that sends by an interface; of several an active one. None where there is none.

    ``mtu_bytes`` is what of a message goes into one packet: the port's active MTU, which follows from the interface's.
    """
    tree = Tree(root)
    owned = tree.names(f"/sys/class/net/{interface}/device/infiniband")
    found = []
    for name, device in rdma.describe(tree).items():
        for number, port in device["ports"].items():
            # A GID names its interface, but on InfiniBand, or where the interface has no address, there is none.
            if interface in port["interfaces"] or (
                name in owned and number == _port_number(tree, interface)
            ):
                found.append(
                    {
                        "device": name,
                        "port": int(number),
                        "provider": device["provider"],
                        "link_layer": port["link_layer"],
                        "state": port["state"],
                    }
                )
    found.sort(key=lambda port: port["state"] != ACTIVE)
    return {**found[0], "mtu_bytes": active_mtu_bytes(found[0])} if found else None


def _port_number(tree: Tree, interface: str) -> str:
    return str((tree.number(f"/sys/class/net/{interface}/dev_port") or 0) + 1)


def active_mtu_bytes(port: Port) -> int | None:
    """A port's active MTU, which no file tells: asked of libibverbs. None where that is not installed, or does not know it."""
    try:
        verbs = ctypes.CDLL(_VERBS)
    except OSError:
        return None
    verbs.ibv_get_device_list.restype = ctypes.POINTER(ctypes.c_void_p)
    verbs.ibv_free_device_list.argtypes = [ctypes.POINTER(ctypes.c_void_p)]
    verbs.ibv_get_device_name.restype = ctypes.c_char_p
    verbs.ibv_get_device_name.argtypes = [ctypes.c_void_p]
    verbs.ibv_open_device.restype = ctypes.c_void_p
    verbs.ibv_open_device.argtypes = [ctypes.c_void_p]
    verbs.ibv_close_device.argtypes = [ctypes.c_void_p]
    verbs.ibv_query_port.argtypes = [ctypes.c_void_p, ctypes.c_uint8, ctypes.c_void_p]
    count = ctypes.c_int()
    devices = verbs.ibv_get_device_list(ctypes.byref(count))
    if not devices:
        return None
    try:
        for device in devices[: count.value]:
            if verbs.ibv_get_device_name(device) == port["device"].encode():
                return _query_mtu(verbs, device, port["port"])
    finally:
        verbs.ibv_free_device_list(devices)
    return None


def _query_mtu(verbs: Any, device: int, number: int) -> int | None:
    context = verbs.ibv_open_device(device)
    if not context:
        return None
    try:
        attributes = ctypes.create_string_buffer(_PORT_ATTRIBUTES_BYTES)
        if verbs.ibv_query_port(context, number, attributes) != 0:
            return None
    finally:
        verbs.ibv_close_device(context)
    # Five sizes, numbered: 1 is 256 bytes, 5 is 4096.
    said = int.from_bytes(attributes.raw[_ACTIVE_MTU_AT : _ACTIVE_MTU_AT + 4], "little")
    return 128 << said if 1 <= said <= 5 else None


def listening_port(pid: int) -> int:
    """The number of the port on which a process waits for RDMA connections: QEMU takes port 0 and tells nobody what it got.

    :raise RequestError: ``rdma`` when it waits on none
    """
    for one in json.loads(run("rdma", "-j", "resource", "show", "cm_id") or "[]"):
        if one.get("pid") == pid and one.get("state") == "LISTEN":
            with suppress(ValueError):
                return int(str(one.get("src-addr", "")).rpartition(":")[2])
    raise RequestError("rdma", f"the kernel knows no RDMA port on which process {pid} listens")
