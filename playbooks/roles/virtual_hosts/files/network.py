"""The network of a virtual lab: a namespace that ends with its holder, two bridges in it, a way in from this machine."""

from __future__ import annotations

import ipaddress
import json
from contextlib import suppress
from pathlib import Path

from processes import Fault, run

NETWORKS = ipaddress.ip_network("198.18.0.0/16")
"""half of what is set aside for benchmarks of networks (RFC 2544): management; the other half, 198.19, is for migrations"""
MTU = 9000
"""the largest that a campaign's link may ask for here"""
BRIDGES = ("management", "migration")


class Network:
    """Made in the namespace of the process `holder`."""

    def __init__(self, holder: int) -> None:
        self.number = free_number()
        self.inside = ["nsenter", f"--net=/proc/{holder}/ns/net", "--"]
        """the command prefix of what runs there"""
        self._veth = f"labctl{self.number}"
        run(
            "ip",
            "link",
            "add",
            self._veth,
            "type",
            "veth",
            "peer",
            "name",
            "outside",
            "netns",
            str(holder),
        )
        for bridge in BRIDGES:
            self._ip("link", "add", bridge, "mtu", str(MTU), "type", "bridge")
            self._ip("link", "set", bridge, "up")
        self._ip("link", "set", "outside", "master", BRIDGES[0], "up")
        run("ip", "address", "add", f"{self.management(1)}/24", "dev", self._veth)
        run("ip", "link", "set", self._veth, "up")

    def cut(self) -> None:
        """Take away the way in at once: the kernel takes it some time after the namespace's last process."""
        with suppress(Fault):
            run("ip", "link", "delete", self._veth)

    def management(self, at: int) -> str:
        """The address of number `at`; 1 is this machine."""
        return f"198.18.{self.number}.{at}"

    def migration(self, at: int) -> str:
        """The address of number `at` on the network that migrations go over."""
        return f"198.19.{self.number}.{at}"

    def mac(self, bridge: str, at: int) -> str:
        """The address of a network card."""
        return f"52:54:00:{self.number:02x}:{BRIDGES.index(bridge):02x}:{at:02x}"

    def tap(self, bridge: str, at: int) -> str:
        """A new port of a bridge, for a machine's network card: its name."""
        name = f"{bridge[:4]}{at}"
        self._ip("tuntap", "add", name, "mode", "tap")
        self._ip("link", "set", name, "mtu", str(MTU), "master", bridge, "up")
        return name

    def _ip(self, *words: str) -> None:
        run(*self.inside, "ip", *words)


def in_another(pid: int) -> bool:
    """Whether a process has left our network namespace."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    return False


def free_number() -> int:
    """The first network that this machine has no address in and no way to."""
    taken: list[ipaddress.IPv4Network] = []
    for link in json.loads(run("ip", "-4", "-j", "address", "show")):
        taken += [ipaddress.IPv4Network(one["local"]) for one in link.get("addr_info", ())]
    for route in json.loads(run("ip", "-4", "-j", "route", "show", "table", "all")):
        if route["dst"] != "default":
            taken.append(ipaddress.IPv4Network(route["dst"], strict=False))
    for number, network in enumerate(NETWORKS.subnets(new_prefix=24)):
        if not any(network.overlaps(one) for one in taken):
            return number
    raise Fault(f"this machine has ways to all of {NETWORKS} already")
