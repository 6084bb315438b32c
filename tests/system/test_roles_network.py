"""The role migration_network on real hosts: set, measured, kept over a reboot, put back."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labctl.errors import ProvisionError
from tests.hosts import Host, Hosts, debian_hosts
from tests.provisioning import Player
from tests.snapshots import Snapshot, assert_same, take

pytestmark = [
    pytest.mark.hosts, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(200),
]  # fmt: skip
ROLE = "migration_network"

RECEIVE = """
import socket, time
with socket.create_server(("{address}", 7000)) as server:
    connection, _ = server.accept()
    received, begun = 0, None
    while data := connection.recv(1 << 16):
        begun = begun or time.monotonic()
        received += len(data)
    print(received * 8 / (time.monotonic() - begun))
"""
SEND = """
import socket, sys, time
end = time.monotonic() + 10
while True:
    try:
        connection = socket.create_connection(("{address}", 7000), 2)
        break
    except OSError:
        if time.monotonic() > end:
            raise
connection.sendall(bytes(6_000_000))
connection.close()
"""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """A pair whose migration interfaces are plugged in and have nothing; with the programs that the role would install."""
    folder = tmp_path_factory.mktemp("network")
    with debian_hosts(["h1", "h2"], folder / "hosts") as hosts:
        for host in hosts:
            install(host, "iproute2", "iputils-ping", "nftables", "ifupdown")
            ok(host, "systemctl start networking")  # as after the reboot that is to come
        yield hosts


@pytest.fixture(scope="module")
def play(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Player:
    return Player(hosts.inventory, tmp_path_factory.mktemp("play"))


@pytest.fixture
def back(hosts: Hosts, play: Player) -> Iterator[dict[str, Snapshot]]:
    """Afterwards the way back is gone, and hosts must be what they were before the test."""
    before = {host.name: take(host) for host in hosts}
    yield before
    play.back(ROLE)
    for host in hosts:
        assert_same(before[host.name], take(host))


def install(host: Host, *packages: str) -> None:
    """Packages with what they start left out: they are there for the test."""
    policy = (
        "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d"
    )
    done = host.run(
        f"{policy}; apt-get -qq update && DEBIAN_FRONTEND=noninteractive "
        f"apt-get -qq --yes --no-install-recommends install {' '.join(packages)}; rm /usr/sbin/policy-rc.d",
        within_s=120,
    )
    assert done.returncode == 0, done.stderr


def ok(host: Host, command: str) -> str:
    done = host.run(command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def address(host: Host) -> str:
    return host.migration_address.partition("/")[0]


def rate_bits_per_s(source: Host, destination: Host) -> float:
    """What 6 MB over the migration network take, seen by who receives them."""
    script = RECEIVE.format(address=address(destination))
    ok(destination, f"cat >/tmp/receive.py <<'END'\n{script}\nEND")
    ok(
        destination,
        "systemd-run --quiet --unit receive --property StandardOutput=file:/tmp/rate python3 /tmp/receive.py",
    )
    sent = source.run(f"python3 - <<'END'\n{SEND.format(address=address(destination))}\nEND")
    assert sent.returncode == 0, sent.stderr
    ok(destination, "timeout 30 sh -c 'while systemctl --quiet is-active receive; do :; done'")
    return float(ok(destination, "cat /tmp/rate; rm /tmp/rate /tmp/receive.py"))


def test_what_is_set_is_measured_kept_over_a_reboot_and_put_back(
    hosts: Hosts, play: Player, back: dict[str, Snapshot]
) -> None:
    routes = [{"to": "203.0.113.0/24", "via": address(hosts["h2"])}]
    variables: dict[str, Any] = {"migration_network_mtu": 1400, "migration_network_routes": routes}
    would = play(ROLE, check=True, **variables)
    assert f"{hosts['h1'].migration_address} mtu 1400 up (203.0.113.0/24 via" in would.changes
    for host in hosts:
        assert_same(back[host.name], take(host))

    with pytest.raises(ProvisionError, match="h2") as caught:
        play(ROLE, limit="h1", **variables)  # there is nobody to measure with
    assert "do not reach" in str(caught.value)
    assert "provision both hosts" in str(caught.value)

    play(ROLE, **variables)
    assert play(ROLE, **variables).changed == []
    for host in hosts:
        assert "mtu 1400" in ok(host, "ip link show mig0")
        assert "203.0.113.0/24" in ok(host, "ip route show dev mig0")
    h1 = hosts["h1"]
    h1.kill()
    h1.boot()
    ok(h1, "timeout 20 sh -c 'until ip address show mig0 | grep -q \"inet \"; do :; done'")
    ok(
        h1,
        f"timeout 20 sh -c 'until ping -c 1 -W 1 -M do -s 1372 {address(hosts['h2'])}; do :; done'",
    )
    assert play(ROLE, **variables).changed == []
    # A variable that is taken away is taken back.
    assert "203.0.113.0/24" in play(ROLE, migration_network_mtu=1400).changes
    assert ok(h1, "ip route show dev mig0 proto static") == ""


def test_an_mtu_that_does_not_pass_is_found(
    hosts: Hosts, play: Player, back: dict[str, Snapshot]
) -> None:
    """The interfaces take it, the switch between them does not."""
    with pytest.raises(
        ProvisionError, match="packets of 12000 bytes from h1 do not reach h2"
    ) as caught:
        play(ROLE, migration_network_mtu=12000)
    assert "lower migration_network_mtu" in str(caught.value)


def test_the_rate_is_kept_by_either_shaper(
    hosts: Hosts, play: Player, back: dict[str, Snapshot]
) -> None:
    h1, h2 = hosts["h1"], hosts["h2"]
    shaped: dict[str, Any] = {
        "migration_network_persist": "none",
        "migration_network_rate": "40mbit",
        "migration_network_burst": "64kb",
    }
    for shaper in ("tbf", "htb"):
        played = play(ROLE, **shaped, migration_network_shaper=shaper)
        assert any("until the next reboot" in said for said in played.said)
        assert f"qdisc {shaper}" in ok(h1, "tc qdisc show dev mig0")
        assert 32e6 < rate_bits_per_s(h1, h2) < 42e6
    play(ROLE, migration_network_persist="none")
    assert rate_bits_per_s(h1, h2) > 100e6


def test_netem_that_the_kernel_lacks_is_named(
    hosts: Hosts, play: Player, back: dict[str, Snapshot]
) -> None:
    probe = "ip link add probe type veth && tc qdisc add dev probe root netem delay 1ms; r=$?; ip link delete probe; exit $r"
    if hosts["h1"].run(probe).returncode == 0:
        play(ROLE, migration_network_netem="delay 20ms", migration_network_persist="none")
        said = ok(hosts["h1"], f"ping -c 2 -i 0.2 {address(hosts['h2'])}")
        assert float(re.search(r"= [\d.]+/([\d.]+)/", said)[1]) >= 40  # type: ignore[index]
        return
    with pytest.raises(ProvisionError, match=r"(?i)unknown") as caught:
        play(ROLE, migration_network_netem="delay 20ms", migration_network_persist="none")
    assert "a kernel that has this queue" in str(caught.value)


@pytest.fixture
def firewalled(hosts: Hosts) -> Iterator[None]:
    """Hosts that let in SSH and nothing else."""
    rules = textwrap.dedent("""\
        table inet guard {
          chain incoming {
            type filter hook input priority 0; policy drop;
            ct state established,related accept
            iifname { "lo", "mgmt0" } accept
          }
        }
    """)
    for host in hosts:
        ok(host, f"nft -f - <<'END'\n{rules}\nEND")
    yield
    for host in hosts:
        ok(host, "nft delete table inet guard")


def test_a_firewall_lets_the_other_host_in_and_nobody_else(
    hosts: Hosts, firewalled: None, play: Player, back: dict[str, Snapshot]
) -> None:
    h1, h2 = hosts["h1"], hosts["h2"]
    before = ok(h1, "nft list ruleset")
    quiet: dict[str, Any] = {"migration_network_persist": "none"}
    with pytest.raises(ProvisionError, match="do not reach"):
        play(ROLE, **quiet, migration_network_firewall=False)
    played = play(ROLE, **quiet)
    assert f"inet guard incoming lets in {address(h2)}" in played.changes
    assert play(ROLE, **quiet).changed == []
    rules = ok(h1, "nft list chain inet guard incoming")
    assert f'iifname "mig0" ip saddr {address(h2)} accept' in rules
    assert rate_bits_per_s(h2, h1) > 0
    play.back(ROLE)
    assert ok(h1, "nft list ruleset") == before


def test_the_interface_that_carries_ssh_is_never_touched(hosts: Hosts, play: Player) -> None:
    before = {host.name: take(host) for host in hosts}
    ways: list[dict[str, Any]] = [
        {"check": True, "migration_network_interface": "mgmt0"},
        {"migration_network_interface": "bond0", "migration_network_bond_members": ["mgmt0"]},
    ]
    for way in ways:
        with pytest.raises(ProvisionError) as caught:
            play(ROLE, migration_network_mtu=1400, **way)
        assert "mgmt0 carries this SSH connection" in str(caught.value)
        assert "give the migration network an interface of its own" in str(caught.value)
    for host in hosts:
        assert_same(before[host.name], take(host))


def test_an_interface_that_networkd_keeps_already_gets_a_drop_in(
    hosts: Hosts, play: Player
) -> None:
    """What it has stays, what is ours comes and goes."""
    h1 = hosts["h1"]
    theirs = "[Match]\\nName=mig0\\n\\n[Network]\\nAddress=203.0.113.9/24\\n"
    ok(h1, f"printf '{theirs}' >/etc/systemd/network/50-theirs.network && networkctl reload")
    ok(h1, "timeout 20 sh -c 'until ip address show mig0 | grep -q 203.0.113.9; do :; done'")
    ok(h1, "timeout 20 sh -c 'until networkctl status mig0 | grep -q configured; do :; done'")
    before = take(h1)
    play(ROLE, migration_network_mtu=1400)
    assert "MTUBytes=1400" in ok(h1, "cat /etc/systemd/network/50-theirs.network.d/labctl.conf")
    assert play(ROLE, migration_network_mtu=1400).changed == []
    shown = ok(h1, "ip address show mig0")
    assert "203.0.113.9/24" in shown
    assert h1.migration_address in shown
    play.back(ROLE)
    assert_same(before, take(h1))
    ok(h1, "rm /etc/systemd/network/50-theirs.network && networkctl reload")
    ok(h1, "ip address flush dev mig0 && ip link set mig0 down")


def test_ifupdown_keeps_it_where_that_is_the_hosts_way(
    hosts: Hosts, play: Player, back: dict[str, Snapshot]
) -> None:
    h1 = hosts["h1"]
    kept: dict[str, Any] = {"migration_network_persist": "ifupdown", "migration_network_mtu": 1400}
    play(ROLE, **kept)
    assert play(ROLE, **kept).changed == []
    assert h1.migration_address.partition("/")[0] in ok(h1, "ifquery mig0")
    ok(h1, "ip address flush dev mig0 && ip link set mig0 down mtu 1500 && ifup --force mig0")
    assert h1.migration_address in ok(h1, "ip address show mig0")
    assert "mtu 1400" in ok(h1, "ip link show mig0")
    ok(h1, "rm -f /run/network/ifstate*")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"migration_network_interface": ""}, "has labctl_migration_address .* and no interface"),
        ({"migration_network_interface": "eth9"}, "there is no interface eth9"),
        ({"migration_network_address": "10.0.0.1"}, "an address with its prefix"),
        (
            {"migration_network_persist": "never"},
            "value of migration_network_persist must be one of",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(
    hosts: Hosts, play: Player, wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(ProvisionError, match=said):
        play(ROLE, check=True, **wrong)


def test_no_rdma_in_this_kernel_is_said_before_anything_is_installed(
    hosts: Hosts, play: Player
) -> None:
    """Where there is rxe it is run for real: the virtual lab. Here: what is said, in check mode and without."""
    if Path("/sys/module/rdma_rxe").exists():
        pytest.skip("this kernel has soft-RoCE")
    before = {host.name: take(host) for host in hosts}
    for check, provider, missing in ((True, "rxe", "soft-RoCE"), (False, "hca", "RDMA")):
        with pytest.raises(ProvisionError, match=f"has no {missing}") as caught:
            play("rdma", check=check, rdma_provider=provider)
        assert "linux-image-amd64" in str(caught.value)
    assert play("rdma").changed == []
    for host in hosts:
        assert_same(before[host.name], take(host))
