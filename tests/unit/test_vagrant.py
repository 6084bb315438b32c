"""The Vagrantfile, as far as it goes without a machine: Vagrant takes it, and the inventory it writes is a lab."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from labctl.lab import read_lab
from labctl.lab.inventory import LabSpec
from labctl.lab.pairing import PairSpec
from labctl.lab.ssh.route import route_to

ROOT = Path(__file__).parents[2]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILxMGDD8zGvAvyJLVBJDNWxqr5UPRZpqVvVKu3J0PIcd"
MEND = "`ansible-playbook -i inventory/local playbooks/tests.yml` installs it"


def need(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"needs {program} in PATH ({MEND})")
    return path


def vagrant(home: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """What Vagrant says of the Vagrantfile; it leaves nothing in the tree."""
    return subprocess.run(
        [need("vagrant"), *arguments],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if "VAGRANT" not in name},
            "VAGRANT_HOME": str(home / "home"),
            "VAGRANT_DOTFILE_PATH": str(home / "state"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            **{f"LABCTL_VAGRANT_{name}": value for name, value in settings.items()},
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(
    "settings",
    [{}, {"HOSTS": "4", "MONITORING": "0", "MEMORY": "1024", "CPUS": "1", "DRIVER": "kvm"}],
    ids=["as it is", "all said"],
)
def test_vagrant_takes_it(settings: dict[str, str], tmp_path: Path) -> None:
    done = vagrant(tmp_path, "validate", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"HOSTS": "3"}, "LABCTL_VAGRANT_HOSTS is 3: hosts make pairs, so write 2, 4, ..."),
        ({"CPUS": "many"}, "LABCTL_VAGRANT_CPUS is no whole number: many"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, str], fault: str, tmp_path: Path) -> None:
    done = vagrant(tmp_path, "validate", **settings)
    assert done.returncode != 0
    assert fault in done.stdout + done.stderr


def ruby(script: str, *arguments: str, said: Any = None) -> str:
    done = subprocess.run(
        [need("ruby"), "-r", "json", "-r", ROOT / "scripts" / "vagrant_lab.rb", "-e", script, *arguments],
        input=json.dumps(said), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def answer(
    name: str, number: int, interface: str = "eth1", rxe: str = "rxe\n", under: str = "kvm"
) -> dict[str, Any]:
    """What a machine of libvirt says of itself."""
    host = f"192.168.121.{number}"
    migration = f"10.77.0.{number}"
    said = (
        "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n"
        f"2: eth0    inet {host}/24 metric 1024 brd 192.168.121.255 scope global dynamic eth0\n"
        f"3: {interface}    inet {migration}/24 brd 10.77.0.255 scope global {interface}\n"
        f"{KEY} root@localhost\nunder {under}\n{rxe}"
    )
    return {
        "name": name, "host": host, "port": 22, "user": "vagrant", "key": f"/k/{name}",
        "migration_address": migration, "lab_address": f"192.168.56.{number}", "said": said,
    }  # fmt: skip


def watcher() -> dict[str, Any]:
    return {**answer("watch", 10), "migration_address": None}


def written(root: Path, answers: list[dict[str, Any]], **settings: str) -> LabSpec:
    """The lab that labctl reads of what is written."""
    ruby(
        "VagrantLab.new(ARGV[0], JSON.parse(ARGV[1])).write(JSON.parse($stdin.read))",
        str(root),
        json.dumps({f"LABCTL_VAGRANT_{name}": value for name, value in settings.items()}),
        said=answers,
    )
    return read_lab(str(root / "inventory" / "vagrant"))


def test_what_it_writes_is_a_lab_with_a_host_that_watches(tmp_path: Path) -> None:
    spec = written(tmp_path, [answer("h1", 11), answer("h2", 12), watcher()])
    assert spec.pairs == (PairSpec("h1-h2", "h1", "h2"),)
    assert set(spec.variables) == {"h1", "h2", "watch"}
    h1 = spec.of("h1")
    assert h1["labctl_migration_interface"] == "eth1"
    assert h1["labctl_migration_address"] == "10.77.0.11/24"
    assert h1["labctl_address"] == h1["ansible_host"] == "192.168.121.11"
    assert h1["rdma_provider"] == "rxe"
    assert h1["time_sync_reference"] == "h1"
    assert spec.of("watch")["prometheus_listen"] == "192.168.121.10"
    assert "labctl_migration_address" not in spec.of("watch")


def test_host_keys_are_checked_against_what_the_machines_told(tmp_path: Path) -> None:
    spec = written(tmp_path, [answer("h1", 11), answer("h2", 12)])
    route = route_to("h1", spec.of("h1"))
    known = tmp_path / "inventory" / "vagrant" / "known_hosts.txt"
    assert route.strictness == "yes"
    assert known in route.known_hosts
    assert (route.address, route.port, route.user) == ("192.168.121.11", 22, "vagrant")
    assert f"192.168.121.12 {KEY}" in known.read_text().splitlines()


def test_rdma_is_used_where_every_kernel_has_it_or_it_is_asked_for(tmp_path: Path) -> None:
    hosts = [answer("h1", 11), answer("h2", 12, rxe="")]
    assert written(tmp_path, hosts).of("h1")["rdma_provider"] == "none"
    assert written(tmp_path, hosts, RDMA="rxe").of("h1")["rdma_provider"] == "rxe"
    both = [answer("h1", 11), answer("h2", 12)]
    assert written(tmp_path, both, RDMA="none").of("h1")["rdma_provider"] == "none"


@pytest.mark.parametrize(
    ("under", "patience", "asked_every"),
    [("kvm", 1, None), ("oracle", 1, None), ("qemu", 5, "15s")],
)
def test_machines_that_are_emulated_are_waited_for_longer_and_asked_less_often(
    tmp_path: Path, under: str, patience: float, asked_every: str | None
) -> None:
    hosts = [answer(name, number, under=under) for name, number in (("h1", 11), ("h2", 12))]
    spec = written(tmp_path, [*hosts, watcher()])
    assert spec.patience == patience
    assert spec.of("watch").get("prometheus_node_interval") == asked_every


def test_hosts_reached_through_a_port_of_this_machine_have_an_address_of_their_own(
    tmp_path: Path,
) -> None:
    """As VirtualBox has it; its interfaces may have other names, too."""
    forwarded = {"host": "127.0.0.1", "port": 2222}
    hosts = [
        {**answer(name, number, "enp0s8"), **forwarded} for name, number in (("h1", 11), ("h2", 12))
    ]
    spec = written(tmp_path, [*hosts, {**watcher(), **forwarded}])
    assert spec.of("h1")["labctl_address"] == "192.168.56.11"
    assert spec.of("h1")["labctl_migration_interface"] == "enp0s8"
    assert spec.of("watch")["prometheus_listen"] == "192.168.56.10"
    known = (tmp_path / "inventory" / "vagrant" / "known_hosts.txt").read_text()
    assert f"[127.0.0.1]:2222 {KEY}" in known.splitlines()


def test_hosts_that_are_there_are_not_forgotten(tmp_path: Path) -> None:
    """`vagrant destroy` without the setting they were made with ends them all."""
    script = 'print VagrantLab.new(ARGV[0], {}).machines.map(&:name).join(" ")'
    assert ruby(script, str(tmp_path)) == "h1 h2 watch"
    (tmp_path / ".vagrant/machines/h3/libvirt").mkdir(parents=True)
    (tmp_path / ".vagrant/machines/h3/libvirt/id").write_text("7")
    assert ruby(script, str(tmp_path)) == "h1 h2 h3 h4 watch"


def test_without_kvm_machines_are_emulated() -> None:
    assert ruby('print VagrantLab.kvm?("/nowhere/kvm")') == "false"
