"""A lab of hosts, from empty to provisioned and back: `labctl lab provision` and `unprovision`, as a user who may sudo."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from labctl.data import data_path
from labctl.provision import provision, unprovision
from tests.hosts import Hosts, debian_hosts
from tests.provisioning import Player
from tests.snapshots import Snapshot, assert_same, take

pytestmark = [
    pytest.mark.hosts, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300),
]  # fmt: skip
QEMU = "/usr/bin/qemu-system-x86_64"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """A pair whose hosts are empty."""
    more = {
        name: {"time_sync_reference": "h1", "time_sync_wait_s": 30, "migration_network_mtu": 1400}
        for name in ("h1", "h2")
    }
    folder = tmp_path_factory.mktemp("site")
    with debian_hosts(["h1", "h2"], folder / "hosts", user="lab", variables=more) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def before(hosts: Hosts) -> dict[str, Snapshot]:
    return {host.name: take(host) for host in hosts}


def test_a_check_of_empty_hosts_says_what_would_change_and_changes_nothing(
    hosts: Hosts, before: dict[str, Snapshot]
) -> None:
    would = provision(str(hosts.inventory), check=True, diff=True)
    for host in hosts:
        said = {task.message for task in would.changed if task.host == host.name}
        assert "qemu-system-x86" in said
        assert "chrony" in said
        shown = "\n".join(task.diff for task in would.changed if task.host == host.name)
        assert "+labctl - memlock unlimited" in shown
        assert "+MTUBytes=1400" in shown
        assert_same(before[host.name], take(host))


def test_empty_hosts_become_a_lab_and_a_second_run_changes_nothing(hosts: Hosts) -> None:
    done = provision(str(hosts.inventory))
    assert (done.failed, done.hosts) == (0, ["h1", "h2"])
    for host in hosts:
        assert host.run(f"{QEMU} --version").returncode == 0
        shown = host.run("ip -4 -oneline address show mig0; cat /sys/class/net/mig0/mtu").stdout
        assert host.migration_address in shown
        assert shown.endswith("\n1400\n")
        assert host.run("getent passwd labctl").stdout.endswith("/nonexistent:/usr/sbin/nologin\n")
        # A container has its machine's clock: it is compared, and never set.
        assert "-x" in host.run("cat /proc/$(pidof -s chronyd)/cmdline | tr '\\0' ' '").stdout
    assert provision(str(hosts.inventory)).changed == []
    assert provision(str(hosts.inventory), check=True, diff=True).changed == []


def test_one_host_can_be_meant(hosts: Hosts) -> None:
    limited = provision(str(hosts.inventory), check=True, limit="h2")
    assert (limited.changed, limited.hosts) == ([], ["h2"])


def test_facts_are_written_here_and_nothing_there(hosts: Hosts, tmp_path: Path) -> None:
    now = {host.name: take(host) for host in hosts}
    facts = tmp_path / "facts"
    played = Player(hosts.inventory, tmp_path)(
        "host_facts", host_facts_folder=str(facts), check=True
    )
    assert {task.task for task in played.changed} == {"Make the folder", "Write the file"}
    for host in hosts:
        said = json.loads((facts / f"{host.name}.json").read_text())
        assert said["kernel"]["release"] == host.run("uname -r").stdout.strip()
        assert said["network"]["interfaces"]["mig0"]["mtu_bytes"] == 1400
        assert said["qemus"]["qemu-system-x86_64"]["version"].startswith(
            "QEMU emulator version 7.2"
        )
        assert said["clock"]["service"] == "chronyd"
        assert_same(now[host.name], take(host))


def test_the_way_back_leaves_hosts_as_they_were(hosts: Hosts, before: dict[str, Snapshot]) -> None:
    for host in hosts:  # what a run leaves there: the agent
        made = host.ssh(
            "mkdir -p ~/.cache/labctl/agent && touch ~/.cache/labctl/agent/a.pyz", user="lab"
        )
        assert made.returncode == 0
    assert unprovision(str(hosts.inventory), check=True).changed
    unprovision(str(hosts.inventory))
    for host in hosts:
        assert_same(before[host.name], take(host))
        # What Ansible and runs kept, of the user's and of root's.
        assert host.run("ls -d /root/.cache /home/lab/.cache").stdout == ""
    assert unprovision(str(hosts.inventory)).changed == []
    for host in hosts:
        assert_same(before[host.name], take(host))


def test_the_playbook_of_facts_is_that_role() -> None:
    assert "role: host_facts" in data_path("playbooks/facts.yml").read_text()
