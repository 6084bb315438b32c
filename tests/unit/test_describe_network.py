"""Interfaces that are not on this machine: a rack server's, as the kernel and its drivers would speak of them."""

import ctypes
import fcntl
import socket
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from labctl.node import netlink
from labctl.node.describe import ethtool, network
from labctl.node.describe.tree import Tree
from tests.unit.test_describe import plant, undocumented

# Of linux/ethtool.h.
U32, TEXT32 = ctypes.c_uint32, ctypes.c_char * 32
CHANNELS = "max_rx max_tx max_other max_combined rx_count tx_count other_count combined_count"
RINGS = (
    "rx_max rx_mini_max rx_jumbo_max tx_max rx_pending rx_mini_pending rx_jumbo_pending tx_pending"
)
COALESCING = (
    "rx_usecs rx_frames rx_usecs_irq rx_frames_irq tx_usecs tx_frames tx_usecs_irq tx_frames_irq "
    "stats_usecs adaptive_rx adaptive_tx"
)


def numbers(names: str) -> list[tuple[str, type[ctypes.c_uint32]]]:
    return [(name, U32) for name in ("cmd", *names.split())]


class DriverInfo(ctypes.Structure):
    _fields_ = [
        ("cmd", U32), ("driver", TEXT32), ("version", TEXT32), ("fw_version", TEXT32), ("bus_info", TEXT32),
        ("erom_version", TEXT32), ("reserved2", ctypes.c_char * 12), ("n_priv_flags", U32), ("n_stats", U32),
        ("testinfo_len", U32), ("eedump_len", U32), ("regdump_len", U32),
    ]  # fmt: skip


class Settings(ctypes.Structure):
    _fields_ = [
        ("cmd", U32), ("supported", U32), ("advertising", U32), ("speed", ctypes.c_uint16), ("duplex", ctypes.c_uint8),
        ("port", ctypes.c_uint8), ("phy_address", ctypes.c_uint8), ("transceiver", ctypes.c_uint8),
        ("autoneg", ctypes.c_uint8), ("mdio_support", ctypes.c_uint8), ("maxtxpkt", U32), ("maxrxpkt", U32),
        ("speed_hi", ctypes.c_uint16), ("eth_tp_mdix", ctypes.c_uint8), ("eth_tp_mdix_ctrl", ctypes.c_uint8),
        ("lp_advertising", U32), ("reserved", U32 * 2),
    ]  # fmt: skip


class Channels(ctypes.Structure):
    _fields_ = numbers(CHANNELS)


class Rings(ctypes.Structure):
    _fields_ = numbers(RINGS)


class Coalescing(ctypes.Structure):
    _fields_ = [*numbers(COALESCING), ("rest", U32 * 11)]


class Pause(ctypes.Structure):
    _fields_ = numbers("autoneg rx_pause tx_pause")


class Value(ctypes.Structure):
    _fields_ = numbers("data")


SPEED = 200_000
CARD: dict[int, ctypes.Structure] = {
    0x1: Settings(speed=SPEED & 0xFFFF, speed_hi=SPEED >> 16),
    0x3: DriverInfo(driver=b"mlx5_core", version=b"6.1.0", fw_version=b"22.38.1002 (MT_359)", bus_info=b"0000:17:00.0"),
    0xE: Coalescing(rx_usecs=8, tx_usecs=16, adaptive_rx=1),
    0x10: Rings(rx_max=8192, rx_pending=1024, tx_pending=2048),
    0x12: Pause(rx_pause=1),
    0x14: Value(data=1), 0x1E: Value(data=1), 0x23: Value(data=0), 0x25: Value(data=1 << 15),
    0x3C: Channels(max_combined=63, combined_count=32, rx_count=1),
}  # fmt: skip
"""A card's answers; to other questions it has none."""


def attribute(kind: int, value: bytes) -> bytes:
    whole = struct.pack("=HH", 4 + len(value), kind) + value
    return whole + bytes(-len(whole) % 4)


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def link(index: int, name: str, *attributes: bytes, flags: int = 1) -> bytes:
    """An RTM_NEWLINK without its header."""
    return struct.pack("=BxHiII", 0, 1, index, flags, 0) + b"".join(
        [attribute(3, name.encode() + b"\0"), number(4, 9000), *attributes]
    )


def info(kind: str, data: bytes = b"") -> bytes:
    return attribute(18, attribute(1, kind.encode() + b"\0") + attribute(2, data))


UP, QDISC = attribute(16, b"\6"), attribute(6, b"mq\0")
RACK = [
    link(1, "lo", flags=8),
    link(2, "ens1f0", UP, QDISC, number(10, 4), number(31, 64), number(13, 1000)),
    link(3, "ens1f1", attribute(16, b"\2"), number(10, 4)),
    link(4, "bond0", UP, info("bond")),
    link(5, "bond0.42", UP, info("vlan", attribute(1, struct.pack("=H", 42))), number(5, 4)),
    # Its other end, number 2, is in another namespace.
    link(6, "vb-h1", UP, info("veth"), number(5, 2), number(37, 0)),
    b"torn",
]
ADDRESSES = [
    struct.pack("=BBBBI", family, 24, 0, 0, index) + attribute(1, b"\xc0\0\2\1")
    for family, index in [(2, 1), (2, 5), (10, 5), (10, 5), (10, 77), (29, 5)]
]
FILES: dict[str, str | bytes | None] = {
    "/proc/self/net/bonding/bond0": "Bonding Mode: IEEE 802.3ad Dynamic link aggregation\n"
    "Transmit Hash Policy: layer3+4 (1)\nMII Status: up\n\nSlave Interface: ens1f0\nPermanent HW addr: 52:54:00:12:34:56",
    "/proc/irq/90/smp_affinity_list": "0-15",
    "/proc/irq/91/smp_affinity_list": "0-15",
    "/proc/irq/92/smp_affinity_list": "16",
    **{f"/sys/bus/pci/devices/0000:17:00.0/msi_irqs/{irq}": "msix" for irq in (90, 91, 92)},
    "/sys/bus/pci/devices/0000:17:00.0/vendor": "0x15b3",
    "/sys/bus/pci/devices/0000:17:00.0/device": "0x101d",
    "/sys/bus/pci/devices/0000:17:00.0/numa_node": "1",
    "/sys/bus/pci/devices/0000:17:00.0/current_link_speed": "16.0 GT/s PCIe",
    "/sys/bus/pci/devices/0000:17:00.0/current_link_width": "16",
}  # fmt: skip


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is said of the rack's interfaces."""

    def dump(kind: int, _body: bytes) -> list[bytes]:
        return {18: RACK, 22: ADDRESSES}[kind]

    def ioctl(_socket: Any, request: int, what: bytes) -> bytes:
        interface, address = struct.unpack("16sP16x", what)
        command = U32.from_address(address).value
        if request != 0x8946 or not interface.startswith(b"ens1f0\0") or command not in CARD:
            raise OSError(95, "Operation not supported")
        answer = CARD[command]
        ctypes.memmove(address + 4, ctypes.addressof(answer) + 4, ctypes.sizeof(answer) - 4)
        return what

    monkeypatch.setattr(netlink, "dump", dump)
    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    plant(tmp_path, FILES)
    return network.describe(Tree(str(tmp_path)))


def test_a_card(said: dict[str, Any]) -> None:
    assert said["interfaces"]["ens1f0"] == {
        "kind": "physical", "state": "up", "mtu_bytes": 9000, "speed_mbit_per_s": SPEED,
        "driver": "mlx5_core", "driver_version": "6.1.0", "firmware": "22.38.1002 (MT_359)", "bus": "0000:17:00.0",
        "pci": {
            "vendor": "0x15b3", "device": "0x101d", "link": "16.0 GT/s PCIe x16", "numa_node": 1,
            "irqs": 3, "irq_cpus": ["0-15", "16"],
        },
        "queueing_discipline": "mq", "queue_packets": 1000, "rx_queues": 33, "tx_queues": 32,
        "rx_ring_packets": 1024, "tx_ring_packets": 2048,
        "rx_coalesce_us": 8, "tx_coalesce_us": 16, "rx_coalesce_adaptive": True, "tx_coalesce_adaptive": False,
        "rx_pause": True, "tx_pause": False,
        "offloads": {"rx_checksum": True, "tso": True, "gso": False, "lro": True},
        "ipv4_addresses": 0, "ipv6_addresses": 0, "master": "bond0", "lower": None,
    }  # fmt: skip


def test_a_bond_and_what_stands_on_it(said: dict[str, Any]) -> None:
    interfaces = said["interfaces"]
    bond, vlan, veth = interfaces["bond0"], interfaces["bond0.42"], interfaces["vb-h1"]
    assert bond["members"] == ["ens1f0", "ens1f1"]
    assert bond["bond_mode"] == "IEEE 802.3ad Dynamic link aggregation"
    assert bond["bond_hash"] == "layer3+4 (1)"
    assert (vlan["kind"], vlan["lower"], vlan["vlan_id"]) == ("vlan", "bond0", 42)
    assert (vlan["ipv4_addresses"], vlan["ipv6_addresses"]) == (1, 2)
    assert (veth["kind"], veth["lower"]) == ("veth", None)
    assert interfaces["ens1f1"]["kind"] == "virtual", "its driver does not say where it is"
    assert set(interfaces) == {"ens1f0", "ens1f1", "bond0", "bond0.42", "vb-h1"}
    assert undocumented({"network": said}) == []


def test_of_hundreds_those_stay_that_a_migration_may_cross(
    said: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = [link(100 + n, f"tap{n}", info("tun"), number(10, 99)) for n in range(300)]
    many = [*ends, link(99, "br0", info("bridge")), *RACK]
    monkeypatch.setattr(netlink, "dump", lambda kind, _body: {18: many}.get(kind, []))
    crowd = network.describe(Tree("/nowhere"))
    assert list(crowd["interfaces"])[:3] == ["ens1f0", "bond0", "bond0.42"]
    assert {"br0", "vb-h1"} <= set(crowd["interfaces"])
    assert (len(crowd["interfaces"]), crowd["interfaces_left_out"]) == (64, 306 - 64)


def test_a_kernel_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_arguments: Any) -> Any:
        raise PermissionError

    monkeypatch.setattr(netlink, "dump", refuses)
    nothing = {"interfaces": {}, "interfaces_left_out": 0}
    assert network.describe(Tree()) == nothing
    monkeypatch.setattr(socket, "socket", refuses)
    assert network.describe(Tree()) == nothing


@pytest.mark.parametrize("speed", [0, 0xFFFF, 0xFFFFFFFF])
def test_a_speed_that_is_not_known(
    speed: int, said: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = Settings(speed=speed & 0xFFFF, speed_hi=speed >> 16)
    monkeypatch.setitem(CARD, 0x1, unknown)
    with closing(ethtool.Ethtool()) as driver:
        assert driver.describe(b"ens1f0")["speed_mbit_per_s"] is None
        assert driver.describe(b"ens1f0")["driver"] == "mlx5_core"
