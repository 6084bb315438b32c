"""Hosts that cannot be provisioned: every one is named, with its fault and its mend, whatever is wrong with the others."""

from pathlib import Path
from typing import Any

import pytest

from labctl.errors import ProvisionError
from labctl.provision import provision
from tests.hosts import Hosts, debian_hosts, faults

pytestmark = [
    pytest.mark.hosts, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(200),
]  # fmt: skip


def said_of(inventory: Path) -> dict[str, str]:
    """By host, what provisioning says of it."""
    with pytest.raises(ProvisionError) as caught:
        provision(str(inventory), check=True)
    head, *rest = str(caught.value).split("\nh")
    assert head == f"{len(rest)} hosts failed"
    return {f"h{one[0]}": one[1:] for one in rest}


def trusting(known_hosts: Path) -> dict[str, Any]:
    """Variables of a host whose key must stand in that file."""
    options = f"-o UserKnownHostsFile={known_hosts} -o StrictHostKeyChecking=yes"
    return {"ansible_ssh_common_args": options}


def spoil_keys(hosts: Hosts, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """h1's key is known as another one's; h2's is not known."""
    unknown, wrong = tmp_path / "unknown", tmp_path / "wrong"
    unknown.touch()
    first, second = hosts.known_hosts.read_text().splitlines()[:2]
    wrong.write_text(f"{first.split()[0]} {second.split(maxsplit=1)[1]}\n")
    return {"h1": trusting(wrong), "h2": trusting(unknown)}


def test_each_host_is_named_with_its_fault_and_its_mend(tmp_path: Path) -> None:
    with debian_hosts(["h1", "h2", "h3", "h4"], tmp_path / "hosts") as hosts:
        keys = spoil_keys(hosts, tmp_path)
        elsewhere = {"h3": {"ansible_port": 23}}
        keyless = {"h4": {"ansible_ssh_private_key_file": str(tmp_path / "none")}}
        ways = hosts.write_inventory("ways.yml", variables={**keys, **elsewhere, **keyless})
        said = said_of(ways)
        assert "its host key is not the one that is known" in said["h1"]
        assert f'ssh-keygen -f "{tmp_path / "wrong"}" -R "{hosts["h1"].address}"' in said["h1"]
        assert "its host key is not known" in said["h2"]
        assert (
            f"port 23 of {hosts['h3'].address} cannot be reached: Connection refused" in said["h3"]
        )
        assert f"SSH lets root@{hosts['h4'].address} not in, and there is no key" in said["h4"]

        faults.ask_for_password(hosts["h1"])
        faults.remove_sudo(hosts["h2"])
        faults.age_python(hosts["h3"], "3.8")
        faults.remove_python(hosts["h4"])
        said = said_of(hosts.write_inventory("lab.yml", user="lab"))
        assert "sudo wants a password" in said["h1"]
        assert "there is no sudo" in said["h2"]
        assert "Python on h3 is 3.8; labctl's agent needs 3.9 or newer" in said["h3"]
        assert "/usr/bin/python3 is not there" in said["h4"]
        assert all("\n  mend: " in one for one in said.values())

        secret = {"h1": {"ansible_become_password": faults.PASSWORD}}
        inventory = hosts.write_inventory("secret.yml", user="lab", variables=secret)
        assert provision(str(inventory), check=True, limit="h1").hosts == ["h1"]
        hosts["h1"].cut()
        with pytest.raises(ProvisionError, match="cannot be reached: Connection timed out"):
            provision(str(inventory), check=True, limit="h1")
