"""RDMA: which port is an interface's, what it counts, how it is called, and what may be said of it."""

from pathlib import Path
from typing import Any

import pytest

from labctl.campaign import Capabilities, expand, make_plan
from labctl.campaign.carriers import carrier, caveat, in_software, provider_of
from labctl.lab.rdma_told import told
from labctl.migration.transports import uri
from labctl.node import rdma, rdma_counters
from labctl.node.protocol import RequestError
from tests.unit.test_campaign_models import campaign
from tests.unit.test_rules import able

CLASS = "sys/class/infiniband"
PORT = {
    "device": "rxe0", "port": 1, "provider": "rxe", "link_layer": "Ethernet", "state": "ACTIVE", "mtu_bytes": None,
}  # fmt: skip


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with soft-RoCE over mig0, a card of two ports over ens1f0 and ens1f1, and IPoIB."""
    files = {
        f"{CLASS}/rxe0/parent": "mig0",
        f"{CLASS}/rxe0/ports/1/state": "4: ACTIVE",
        f"{CLASS}/rxe0/ports/1/link_layer": "Ethernet",
        f"{CLASS}/rxe0/ports/1/gids/0": "fe80:0000:0000:0000:5054:00ff:fe00:0101",
        f"{CLASS}/rxe0/ports/1/gid_attrs/ndevs/0": "mig0",
        f"{CLASS}/rxe0/ports/1/hw_counters/sent_pkts": "67017",
        f"{CLASS}/rxe0/ports/1/hw_counters/rcvd_pkts": "7072",
        f"{CLASS}/rxe0/ports/1/hw_counters/duplicate_request": "2",
        f"{CLASS}/rxe0/ports/1/hw_counters/rcvd_rnr_err": "3",
        f"{CLASS}/rxe0/ports/1/hw_counters/lifespan": "12",
        f"{CLASS}/mlx5_0/ports/1/state": "1: DOWN",
        f"{CLASS}/mlx5_0/ports/1/gids/0": "fe80:0000:0000:0000:5054:00ff:fe12:3456",
        f"{CLASS}/mlx5_0/ports/1/gid_attrs/ndevs/0": "ens1f0",
        f"{CLASS}/mlx5_0/ports/2/state": "4: ACTIVE",
        f"{CLASS}/mlx5_0/ports/2/counters/port_xmit_data": "1000",
        f"{CLASS}/mlx5_0/ports/2/counters/port_rcv_data": "10",
        f"{CLASS}/mlx5_0/ports/2/counters/port_xmit_packets": "7",
        f"{CLASS}/mlx5_0/ports/2/counters/port_rcv_packets": "5",
        f"{CLASS}/mlx5_0/ports/2/hw_counters/out_of_sequence": "1",
        f"{CLASS}/mlx5_0/ports/2/hw_counters/lifespan": "10",
        "sys/class/net/ens1f1/device/infiniband/mlx5_0/node_type": "1: CA",
        "sys/class/net/ens1f1/dev_port": "1",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    monkeypatch.setattr(rdma, "active_mtu_bytes", lambda _port: None)
    return tmp_path


def test_the_port_is_that_of_the_interface(host: Path) -> None:
    assert rdma.find("mig0", str(host)) == PORT
    card = rdma.find("ens1f0", str(host))
    assert card is not None
    assert (card["device"], card["port"], card["state"]) == ("mlx5_0", 1, "DOWN")
    # It has no GID that names it: the kernel says whose it is.
    without_gids = rdma.find("ens1f1", str(host))
    assert without_gids is not None
    assert (without_gids["device"], without_gids["port"]) == ("mlx5_0", 2)
    assert rdma.find("eth9", str(host)) is None


def test_soft_roce_counts_packets_and_a_card_bytes_too(host: Path) -> None:
    soft = rdma_counters.PortCounters("rxe0", 1, str(host))
    assert soft.read() == (None, None, 67017, 7072, 5)
    soft.close()
    card = rdma_counters.PortCounters("mlx5_0", 2, str(host))
    assert card.read() == (4000, 40, 7, 5, 1)
    card.close()
    nothing = rdma_counters.PortCounters("gone", 1, str(host))
    assert nothing.read() == (None,) * 5
    nothing.close()


def test_every_counter_is_kept_in_the_kernels_names(host: Path) -> None:
    found = rdma_counters.everything("mlx5_0", 2, str(host))
    assert found["port_xmit_data"] == 1000
    assert "lifespan" not in found
    assert len(found) == 5


def test_where_qemu_listens_the_kernel_says(monkeypatch: pytest.MonkeyPatch) -> None:
    said = """[
        {"ifname": "rxe0", "port": 1, "state": "LISTEN", "pid": 7, "src-addr": "198.51.100.1:33959"},
        {"ifname": "rxe0", "port": 1, "state": "LISTEN", "pid": 9, "src-addr": "[2001:db8::1]:4444"},
        {"ifname": "rxe0", "port": 1, "state": "CONNECT", "pid": 8, "src-addr": "198.51.100.1:1"}]"""
    monkeypatch.setattr(rdma, "run", lambda *_argv: said)
    assert rdma.listening_port(7) == 33959
    assert rdma.listening_port(9) == 4444
    with pytest.raises(RequestError, match="process 8 listens"):
        rdma.listening_port(8)


def test_addresses_in_qemus_notation() -> None:
    assert uri("rdma", "198.51.100.1") == "rdma:198.51.100.1:0"
    assert uri("rdma", "2001:db8::1", 4444) == "rdma:[2001:db8::1]:4444"
    assert uri("tcp", "198.51.100.1", 1) == "tcp:198.51.100.1:1"


@pytest.mark.parametrize(
    ("transport", "provider", "name"),
    [
        ("tcp", None, "tcp"),
        ("tcp", "rxe", "tcp"),
        ("rdma", None, "rdma"),
        ("rdma", "mlx5_core", "rdma"),
        ("rdma", "rxe", "rdma (soft-RoCE)"),
        ("rdma", "siw", "rdma (soft-iWARP)"),
    ],
)
def test_the_name_of_a_carrier(transport: str, provider: str | None, name: str) -> None:
    assert carrier(transport, provider) == name
    assert in_software(name) is ("soft" in name)
    assert (caveat([name]) is not None) is ("soft" in name)


def test_what_has_to_be_known_of_soft_roce_is_said_once() -> None:
    said = caveat(["tcp", "rdma (soft-RoCE)", "rdma (soft-RoCE)"])
    assert said == (
        "RDMA here is soft-RoCE, the kernel's own in software: it shows that it works, not how fast RDMA is."
    )


def test_software_at_one_end_marks_the_pair() -> None:
    card, soft = able(rdma_provider="mlx5_core"), able(rdma_provider="rxe")
    assert provider_of("rdma", [card, soft]) == "rxe"
    assert provider_of("rdma", [card, card]) == "mlx5_core"
    assert provider_of("tcp", [card, soft]) is None
    assert provider_of("rdma", []) is None


def _planned(*ends: Capabilities) -> list[tuple[str | None, str]]:
    asked = campaign(matrix={"transport": ["tcp", "rdma"]})
    plan = make_plan(asked, {"a-b": (ends[0], ends[1])} if ends else None)
    return [(cell.rdma_provider, cell.carrier) for cell in plan.cells]


def test_a_plan_for_a_lab_knows_what_carries_its_cells() -> None:
    soft = able(rdma_provider="rxe")
    assert _planned(soft, soft) == [(None, "tcp"), ("rxe", "rdma (soft-RoCE)")]
    assert _planned() == [(None, "tcp"), (None, "rdma")]
    assert [cell.carrier for cell in expand(campaign(transport="rdma"))] == ["rdma"]


def _said(**changes: Any) -> dict[str, Any]:
    return {"rdma": True, "rdma_port": PORT | {"mtu_bytes": 1024}, "host": {"rdma": {}}} | changes


def test_a_host_is_told_what_rdma_it_has() -> None:
    soft = told(_said())
    assert soft.ok
    assert soft.detail == (
        "rxe0 (rxe), port 1 ACTIVE, active MTU 1024 bytes: soft-RoCE, in software: for correctness, not for figures"
    )
    card = told(_said(rdma_port=PORT | {"provider": "mlx5_core", "device": "mlx5_0"}))
    assert card.detail == "mlx5_0 (mlx5_core), port 1 ACTIVE, active MTU not known"
    down = told(_said(rdma_port=PORT | {"state": "DOWN"}))
    assert not down.ok
    assert down.mend
    assert told(_said(rdma=False)).detail.endswith("QEMU was built without RDMA")
    none = told(_said(rdma_port=None))
    assert (none.ok, none.detail) == (True, "none by the interface of migrations")
    other = told(_said(rdma_port=None, host={"rdma": {"mlx5_0": {"provider": "mlx5_core"}}}))
    assert "mlx5_0 (mlx5_core) belongs to no such interface" in other.detail
