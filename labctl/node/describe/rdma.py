"""RDMA devices and their ports. Of GIDs there is the number and the type only: they are made of addresses."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .keys import Key
from .tree import Tree

DEVICES = "/sys/class/infiniband"
_SIW_NAME = "Software iWARP stack"
_EMPTY_IN_A_ROW = 16
"""GIDs get the first place that is free, so that behind a few empty ones there is nothing; a table has hundreds of places."""

KEYS = (
    Key("<name>.provider", "text", "its driver: `mlx5_core` and kin; `rxe` and `siw` are the kernel's own, in software"),
    Key("<name>.firmware", "text", "version of its firmware"),
    Key("<name>.node_type", "text", "`CA` (InfiniBand, RoCE), `RNIC` (iWARP) ..."),
    Key("<name>.board", "text", "what it is called by who made it"),
    Key("<name>.numa_node", "int", "the NUMA node that it is near to; -1: not known"),
    Key("<name>.ports.<name>.state", "text", "`ACTIVE`, `DOWN` ..."),
    Key("<name>.ports.<name>.physical_state", "text", "`LinkUp`, `Disabled` ..."),
    Key("<name>.ports.<name>.rate", "text", "as the kernel says"),
    Key("<name>.ports.<name>.link_layer", "text", "`InfiniBand` or `Ethernet`"),
    Key("<name>.ports.<name>.gids", "int", "GIDs that it has"),
    Key("<name>.ports.<name>.gid_types.<name>", "int", "of them, those of a type: `RoCE v2` ..."),
    Key("<name>.ports.<name>.interfaces", "list of text", "the network interfaces that they belong to"),
)  # fmt: skip


def describe(tree: Tree) -> dict[str, Any]:
    """Every device, by name."""
    return {name: _device(tree, f"{DEVICES}/{name}") for name in tree.names(DEVICES)}


def _device(tree: Tree, device: str) -> dict[str, Any]:
    return {
        "provider": _provider(tree, device),
        "firmware": tree.text(f"{device}/fw_ver"),
        "node_type": _word(tree.text(f"{device}/node_type")),
        "board": tree.text(f"{device}/board_id") or tree.text(f"{device}/hca_type"),
        "numa_node": tree.number(f"{device}/device/numa_node"),
        "ports": {
            port: _port(tree, f"{device}/ports/{port}") for port in tree.names(f"{device}/ports")
        },
    }


def _provider(tree: Tree, device: str) -> str | None:
    # A device in software may hang on the network card's, so that its driver would be the card's.
    if tree.text(f"{device}/parent"):
        return "rxe"  # no other driver has that file
    name = device.rpartition("/")[2]
    if tree.text(f"{device}/node_desc") == _SIW_NAME or name.startswith("siw"):
        return "siw"
    return tree.target(f"{device}/device/driver")


def _port(tree: Tree, port: str) -> dict[str, Any]:
    types: Counter[str] = Counter()
    interfaces: set[str] = set()
    empty = gids = index = 0
    while empty < _EMPTY_IN_A_ROW:
        gid = tree.text(f"{port}/gids/{index}") or ""
        if gid.strip("0:"):
            empty = 0
            gids += 1
            types[tree.text(f"{port}/gid_attrs/types/{index}") or "unknown"] += 1
            interfaces.add(tree.text(f"{port}/gid_attrs/ndevs/{index}") or "")
        else:
            empty += 1
        index += 1
    return {
        "state": _word(tree.text(f"{port}/state")),
        "physical_state": _word(tree.text(f"{port}/phys_state")),
        "rate": tree.text(f"{port}/rate"),
        "link_layer": tree.text(f"{port}/link_layer"),
        "gids": gids,
        "gid_types": dict(sorted(types.items())),
        "interfaces": sorted(interfaces - {""}),
    }


def _word(text: str | None) -> str | None:
    """Of ``4: ACTIVE``, the word."""
    return text.partition(":")[2].strip() or text if text else None
