"""The interfaces of a namespace: what is said of them, beside what `ip` says."""

import json
import subprocess
import sys
from typing import Any

import pytest

from labctl.doctor.check import root_prefix

pytestmark = pytest.mark.root

# /sys stays that of the host: what is said must be of the namespace all the same.
SCRIPT = """
set -e
ip link add v0 mtu 9000 type veth peer name v1
ip link add br0 type bridge
ip link set v1 master br0
ip link add mv0 link v0 type macvlan
ip tuntap add tap0 mode tap
ip address add 192.0.2.1/24 dev v0
ip address add 192.0.2.9/24 dev v0
ip link set br0 up
ip link set v1 up
ip link set v0 up
tc qdisc add dev v0 root tbf rate 1gbit burst 256kb latency 50ms
ip -j -d address show
exec "$0" -c 'import json; from labctl.node import describe; print(json.dumps(describe.describe()))'
"""


@pytest.fixture(scope="module")
def both() -> tuple[dict[str, Any], dict[str, Any]]:
    """What `ip` says of each interface, and the description."""
    done = subprocess.run(
        [*root_prefix(), "unshare", "--net", "sh", "-c", SCRIPT, sys.executable],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown, described = map(json.loads, done.stdout.splitlines())
    return {one["ifname"]: one for one in shown}, described["network"]["interfaces"]


def test_interfaces_are_what_ip_says(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    shown, said = both
    assert set(said) == set(shown) - {"lo"} == {"v0", "v1", "br0", "mv0", "tap0"}
    for name, one in said.items():
        other = shown[name]
        assert one["mtu_bytes"] == other["mtu"]
        assert one["kind"] == other["linkinfo"]["info_kind"]
        assert one["queueing_discipline"] == other["qdisc"]
        assert one["queue_packets"] == other.get("txqlen", 0)
        assert one["master"] == other.get("master")
        assert one["lower"] == other.get("link")
        families = [address["family"] for address in other["addr_info"]]
        assert one["ipv4_addresses"] == families.count("inet")
        assert one["ipv6_addresses"] == families.count("inet6")
        assert one["state"].replace(" ", "") == other["operstate"].lower()
    assert said["v0"]["ipv4_addresses"] == 2
    assert said["v0"]["queueing_discipline"] == "tbf"
    assert said["br0"]["members"] == ["v1"]
    assert said["v0"]["driver"] == "veth"
