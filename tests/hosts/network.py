"""The two networks of a session of hosts: bridges, cables, the way to package mirrors, and all of it taken back.

The management network has this machine on it, and what hosts send elsewhere is masqueraded, so that apt works inside. On the
migration network there are only the hosts. Forwarding is switched on for the two interfaces concerned and no others;
the first session's bridge remembers in its alias what the uplink had before, the last one puts that back.
"""

import ipaddress
import json
import re
from pathlib import Path
from typing import Any

from tests.hosts.commands import run
from tests.hosts.numbers import COUNT, Claim, Number, alone, claimed, try_claim

_SETTINGS = Path("/proc/sys/net/ipv4/conf")
_BRIDGE = re.compile(r"lth(\d+)m?")
_ALIAS = re.compile(r"labctl test hosts(?:; forwarding of (\S+) was ([01]))?")
_SWITCH_MTU = 9216
"""of the cables' ends here and the migration bridge: what switches carry, so that a host's own MTU decides"""


def claim_network() -> Claim:
    """A number whose names and addresses nothing has yet."""
    taken = [ipaddress.ip_network(route) for route in _routes()]
    interfaces = {link["ifname"] for link in _links()}
    for value in range(COUNT):
        number = Number(value)
        networks = map(ipaddress.ip_network, (number.network, number.migration_network))
        if number.bridge in interfaces or any(
            n.overlaps(route) for n in networks for route in taken
        ):
            continue
        if claim := try_claim(value):
            return claim
    raise RuntimeError("198.18.0.0/15 is in use on this machine: no addresses for hosts")


def make(number: Number) -> None:
    """Make the bridges, and the way out."""
    run("ip", "-batch", "-", said=_bridges(number))
    with alone():
        uplink = _uplink()
        remembered = next(filter(None, map(_remembered, _our_bridges())), None)
        if uplink is not None and remembered is None:
            remembered = (uplink, (_SETTINGS / uplink / "forwarding").read_text().strip())
        alias = "labctl test hosts"
        if remembered is not None:
            alias += "; forwarding of {} was {}".format(*remembered)
        run("ip", "link", "set", number.bridge, "alias", alias)
        for interface in filter(None, (uplink, number.bridge)):
            (_SETTINGS / interface / "forwarding").write_text("1")
    run("nft", "-f", "-", said=_rules(number))


def plug(number: Number, host: int) -> None:
    """Plug in the cables of a host that has just begun to boot: they exist as soon as it does."""
    cables = {
        number.cable(host): number.bridge,
        number.migration_cable(host): number.migration_bridge,
    }
    lines = [
        f"link set {cable} mtu {_SWITCH_MTU} master {bridge} addrgenmode none up"
        for cable, bridge in cables.items()
    ]
    run("ip", "-batch", "-", said="\n".join(lines))


def unplug(number: Number, host: int) -> None:
    """Take a host's cables away for good, before it dies: nobody is to hear it fall."""
    present = {link["ifname"] for link in _links()}
    for cable in (number.cable(host), number.migration_cable(host)):
        if cable in present:
            # Of a host that switched itself off it may just vanish.
            run("ip", "link", "delete", cable, check=False)


def remove(number: Number) -> None:
    """Take back what :func:`make` made, or as much of it as there is."""
    tables = json.loads(run("nft", "--json", "list", "tables"))["nftables"]
    if any(entry.get("table", {}).get("name") == number.table for entry in tables):
        run("nft", "delete", "table", "ip", number.table)
    with alone():
        bridges = {link["ifname"]: link for link in _our_bridges()}
        remembered = _remembered(bridges.get(number.bridge, {}))
        gone = {number.bridge, number.migration_bridge}
        # A host's cables end with it, but the kernel takes its time over that.
        for link in _links():
            if link.get("master") in gone:
                run("ip", "link", "delete", link["ifname"], check=False)
        for bridge in gone & set(bridges):
            run("ip", "link", "delete", bridge)
        if remembered and not set(bridges) - gone:
            uplink, before = remembered
            if (_SETTINGS / uplink).exists():
                (_SETTINGS / uplink / "forwarding").write_text(before)


def leftovers() -> list[Number]:
    """The numbers of sessions that have died without taking their networks back."""
    named = (_BRIDGE.fullmatch(link["ifname"]) for link in _our_bridges())
    found = {int(match[1]) for match in named if match}
    return [Number(value) for value in sorted(found - claimed())]


def _bridges(number: Number) -> str:
    # An address of its own: a bridge that has none takes its ports', and changes it with them.
    mac = f"02:1a:bc:{number.value:02x}:00"
    lines = []
    for bridge, last in ((number.bridge, "01"), (number.migration_bridge, "02")):
        lines += [
            f"link add {bridge} address {mac}:{last} type bridge",
            f'link set {bridge} alias "labctl test hosts"',
            f"link set {bridge} addrgenmode none up",
        ]
    return "\n".join([*lines, f"address add {number.controller}/24 dev {number.bridge}"])


def _rules(number: Number) -> str:
    return f"""table ip {number.table} {{
        chain postrouting {{
            type nat hook postrouting priority srcnat;
            ip saddr {number.network} oifname != "{number.bridge}" masquerade
        }}
    }}"""


def _uplink() -> str | None:
    routes: list[dict[str, Any]] = json.loads(run("ip", "-json", "-4", "route", "show", "default"))
    return str(routes[0]["dev"]) if routes else None


def _routes() -> list[str]:
    routes: list[dict[str, Any]] = json.loads(run("ip", "-json", "-4", "route", "show"))
    return [route["dst"] for route in routes if route["dst"] != "default"]


def _links() -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = json.loads(run("ip", "-json", "link", "show"))
    return links


def _our_bridges() -> list[dict[str, Any]]:
    """A bridge is ours when both its name and its alias say so."""
    return [
        link
        for link in _links()
        if _BRIDGE.fullmatch(link["ifname"]) and _ALIAS.fullmatch(link.get("ifalias", ""))
    ]


def _remembered(bridge: dict[str, Any]) -> tuple[str, str] | None:
    found = _ALIAS.fullmatch(bridge.get("ifalias", ""))
    return (found[1], found[2]) if found and found[1] else None
