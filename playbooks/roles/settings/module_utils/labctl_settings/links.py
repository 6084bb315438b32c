"""Network interfaces: MTU, addresses and routes. The one that carries SSH is never touched."""

from __future__ import annotations

import ipaddress
import json
import os
from pathlib import Path
from typing import Any

from .thing import Absent, Refused, State, Thing, run

_SYS = Path("/sys/class/net")


class Link(Thing):
    """`mtu`, `addresses` (CIDR) and `routes` (`{to, via}`) of an interface, beside what it had; it is up, unless `up` is false.

    Addresses that the kernel makes, or that a lease gives, are not looked at.
    """

    kind = "link"

    def now(self) -> State:
        if not (_SYS / self.name).exists():
            raise Absent(f"there is no interface {self.name}")
        (link,) = _ip("address", "show", "dev", self.name)
        return {
            "mtu": link["mtu"],
            "up": "UP" in link["flags"],
            "addresses": sorted(_addresses(link)),
            "routes": sorted(_routes(self.name)),
        }

    def wanted(self, before: State) -> State:
        asked = {_interface(text) for text in self.asked.get("addresses", [])}
        routes = {_route(r["to"], r.get("via")) for r in self.asked.get("routes", [])}
        return {
            "mtu": self.asked.get("mtu") or before["mtu"],
            "up": self.asked.get("up", True),
            "addresses": sorted(asked.union(before["addresses"])),
            "routes": sorted(routes.union(before["routes"])),
        }

    def put(self, state: State) -> None:
        now, link = self.now(), ("dev", self.name)
        if state["mtu"] != now["mtu"]:
            run("ip", "link", "set", *link, "mtu", str(state["mtu"]))
        if state["up"] and not now["up"]:
            run("ip", "link", "set", *link, "up")
        for address in _only(now, state, "addresses"):
            run("ip", "address", "delete", address, *link)
        for address in _only(state, now, "addresses"):
            run("ip", "address", "add", address, *link)
        for route in _only(self.now(), state, "routes"):  # those of an address go with it
            run("ip", "route", "delete", *route.split(), *link)
        for route in _only(state, now, "routes"):
            run("ip", "route", "add", *route.split(), *link)
        if now["up"] and not state["up"]:
            run("ip", "link", "set", *link, "down")

    def changeable(self) -> None:
        refuse_if_it_carries_ssh(self.name)

    def said(self, state: State) -> str:
        words = [*state["addresses"], f"mtu {state['mtu']}", "up" if state["up"] else "down"]
        return " ".join(words + [f"({route})" for route in state["routes"]])


def refuse_if_it_carries_ssh(*names: str) -> None:
    """:raise Refused: this SSH session comes in over one of the interfaces, or over what stands on it or below it."""
    address = _ssh_address()
    if address is None:
        return
    links = {link["ifname"]: link for link in _ip("-details", "address", "show")}
    carrying = {
        name for name, link in links.items() if address in {a["local"] for a in link["addr_info"]}
    }
    # A bridge or a bond stands on its members; a VLAN on its link.
    for _ in range(len(links)):
        for name, link in links.items():
            if link.get("master") in carrying:
                carrying.add(name)
            if name in carrying and link.get("link") in links:
                carrying.add(link["link"])
    for name in names:
        if name in carrying:
            raise Refused(
                f"{name} carries this SSH connection (to {address}), so it is not touched. "
                f"Mend: give the migration network an interface of its own"
            )


def _ssh_address() -> str | None:
    """The address of this host that SSH was asked for; None where there is no SSH.

    sudo leaves it out of the environment, but whoever called sudo still has it there.
    """
    pid = os.getpid()
    while pid > 1:
        environment = Path("/proc", str(pid), "environ").read_bytes().split(b"\0")
        for entry in environment:
            name, _, value = entry.partition(b"=")
            if name == b"SSH_CONNECTION" and len(value.split()) == 4:
                return value.split()[2].decode()
        stat = Path("/proc", str(pid), "stat").read_text(encoding="utf-8", errors="replace")
        pid = int(stat.rpartition(")")[2].split()[1])
    return None


def _ip(*words: str) -> list[dict[str, Any]]:
    # An entry for each interface in question; iproute2 prints empty ones for the others.
    return [entry for entry in json.loads(run("ip", "-json", *words) or "[]") if entry]


def _addresses(link: dict[str, Any]) -> list[str]:
    return [
        f"{address['local']}/{address['prefixlen']}"
        for address in link["addr_info"]
        if address["scope"] != "link" and not address.get("dynamic")
    ]


def _routes(name: str) -> list[str]:
    families = {"-4": "0.0.0.0/0", "-6": "::/0"}
    return [
        _route(default if route["dst"] == "default" else route["dst"], route.get("gateway"))
        for family, default in families.items()
        for route in _ip(family, "route", "show", "dev", name)
        if route.get("protocol") not in {"kernel", "ra", "dhcp"}
    ]


def _interface(text: str) -> str:
    return ipaddress.ip_interface(text).with_prefixlen


def _route(to: str, via: str | None) -> str:
    network = str(ipaddress.ip_network(to))
    return f"{network} via {via}" if via else network


def _only(here: State, not_there: State, what: str) -> list[str]:
    return [entry for entry in here[what] if entry not in not_there[what]]
