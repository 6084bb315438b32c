"""Ways to a host over SSH, and all that can be wrong with one: each is named by `lab check`, with its mend."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labctl.errors import InputError, LabError
from labctl.lab import check_lab, read_lab
from labctl.lab.agentfile import agent_file
from labctl.lab.checking import Finding
from labctl.lab.ssh import RemoteHost, Sudo
from tests.hosts import Host, Hosts, debian_hosts, faults

pytestmark = [pytest.mark.hosts, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Two hosts that no test spoils."""
    folder = tmp_path_factory.mktemp("hosts")
    with debian_hosts(["h1", "h2"], folder, migration_addresses=True) as made:
        yield made


@pytest.fixture
def spoilt(tmp_path: Path) -> Iterator[Hosts]:
    """Two hosts, the first of which is to be spoilt; the user lab logs in."""
    folder = tmp_path / "hosts"
    with debian_hosts(["h1", "h2"], folder, user="lab", migration_addresses=True) as made:
        yield made


def reached(inventory: Path, name: str = "h1") -> RemoteHost:
    """A host of an inventory, opened and closed again."""
    host = RemoteHost(name, read_lab(str(inventory)), "ways", Sudo())
    try:
        host.open()
    finally:
        host.close()
    return host


def found(inventory: Path, what: str) -> Finding:
    """What `lab check` says of one thing."""
    findings = {finding.what: finding for finding in check_lab(str(inventory))}
    assert what in findings, findings
    return findings[what]


# --- ways that work ---


@pytest.mark.parametrize("user", ["root", "lab"])
def test_the_agent_is_sent_once_a_version(hosts: Hosts, user: str) -> None:
    inventory = hosts.write_inventory(f"{user}.yml", user=user)
    first, second = reached(inventory), reached(inventory)
    assert first.sent_bytes == agent_file().stat().st_size
    assert second.sent_bytes == 0
    assert first.management == hosts["h1"].address
    kept = hosts["h1"].ssh("find ~/.cache -type f -printf '%f %s'", user=user).stdout
    assert kept == f"{agent_file().name} {first.sent_bytes}"


def test_a_node_acts_as_root(hosts: Hosts) -> None:
    inventory = hosts.write_inventory("lab.yml", user="lab")
    host = RemoteHost("h1", read_lab(str(inventory)), "ways", Sudo())
    host.open()
    node = host.start("host")
    hello = node.call("hello", lock=True, share=False, user="somebody")
    assert hello["host"]["agent"]["uid"] == 0
    assert node.call("host.trial_user", name=None)["uid"] == 1000
    node.close()
    host.close()
    assert hosts["h1"].run("pgrep -f '[a]gent-'").stdout == ""
    assert hosts["h1"].run("ls /run/labctl").stdout.split() == ["host.lock"]


def test_a_jump_host_is_jumped_over(hosts: Hosts) -> None:
    """h2's migration address can be reached from h1 alone."""
    h1, h2 = hosts["h1"], hosts["h2"]
    address = h2.migration_address.partition("/")[0]
    key = hosts.known_hosts.read_text()
    known = hosts.folder / "both"
    known.write_text(key + key.splitlines()[1].replace(h2.address, address) + "\n")
    config = hosts.folder / "config"
    config.write_text(
        f"Host gate\n HostName {h1.address}\n User root\n IdentityFile {hosts.key}\n"
        f"Host *\n UserKnownHostsFile {known}\nMatch host {address}\n ProxyJump gate\n"
    )
    options = f"-F {config}"
    inventory = hosts.write_inventory(
        "jump.yml", variables={"h2": {"ansible_host": address, "ansible_ssh_common_args": options}}
    )
    assert reached(inventory, "h2").management == address


def test_a_key_may_be_filed_under_another_name(hosts: Hosts) -> None:
    address = hosts["h1"].address
    known = hosts.folder / "named"
    known.write_text(hosts.known_hosts.read_text().replace(address, "alias"))
    options = f"-o UserKnownHostsFile={known} -o HostKeyAlias=alias"
    inventory = hosts.write_inventory(
        "alias.yml", variables={"h1": {"ansible_ssh_common_args": options}}
    )
    reached(inventory)


def test_sudo_takes_the_inventorys_password(spoilt: Hosts) -> None:
    faults.ask_for_password(spoilt["h1"])
    password = {"h1": {"ansible_become_password": faults.PASSWORD}}
    inventory = spoilt.write_inventory("right.yml", user="lab", variables=password)
    host = RemoteHost("h1", read_lab(str(inventory)), "ways", Sudo())
    host.open()
    node = host.start("host")
    assert node.call("alive")["anchor"]
    node.close()
    assert node._channel.last_words() == ""
    host.close()
    wrong = {"h1": {"ansible_become_password": "wrong"}}
    inventory = spoilt.write_inventory("wrong.yml", user="lab", variables=wrong)
    with pytest.raises(LabError, match="h1: sudo refuses the password"):
        reached(inventory)


# --- hosts that cannot be used ---

Spoil = Callable[[Host], None]
SPOILT: dict[str, tuple[Spoil, str, str]] = {
    "no sudo": (faults.remove_sudo, "there is no sudo", "install sudo"),
    "sudo forbidden": (faults.forbid_sudo, "sudo", "sudo without one"),
    "sudo asks": (faults.ask_for_password, "sudo wants a password there", "ansible_become_password"),
    "no python": (faults.remove_python, "/usr/bin/python3 is not there", "apt install python3"),
    "old python": (faults.age_python, "is Python 3.7.3; the agent needs 3.9", "ansible_python_interpreter"),
    "full disk": (
        lambda host: faults.fill(host, "/home/lab/.cache"),
        "the agent cannot be written there: /home/lab/.cache/labctl/agent: No space left on device",
        "make room in /home/lab/.cache/labctl",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILT)
def test_a_host_that_lacks_something_is_named(spoilt: Hosts, case: str) -> None:
    spoil, fault, mend = SPOILT[case]
    spoil(spoilt["h1"])
    finding = found(spoilt.inventory, "h1")
    assert not finding.ok
    assert fault in finding.detail
    assert finding.mend is not None
    assert mend in finding.mend
    with pytest.raises(LabError, match=r"h1: .*\n  mend: "):
        reached(spoilt.inventory)


def test_a_host_without_tools_is_named(hosts: Hosts) -> None:
    """An empty Debian has neither QEMU nor ip."""
    finding = found(hosts.inventory, "h1: programs")
    assert not finding.ok
    assert "qemu-system-x86_64" in finding.detail
    assert "ip, tc" in finding.detail
    assert finding.mend == f"labctl lab provision {hosts.inventory}"
    assert found(hosts.inventory, "h1").ok


def swapped(keys: str) -> str:
    """Known hosts in which each has the other's key."""
    (a, _, key_a), (b, _, key_b) = (line.split()[:3] for line in keys.splitlines())
    return f"{a} ssh-ed25519 {key_b}\n{b} ssh-ed25519 {key_a}\n"


WAYS: dict[str, tuple[Callable[[Hosts], dict[str, Any]], str, str]] = {
    "no such name": (
        lambda _: {"ansible_host": "nowhere.invalid"},
        "there is no host named nowhere.invalid",
        "set ansible_host",
    ),
    "refused": (
        lambda _: {"ansible_port": 9},
        "port 9 of .* cannot be reached: .*refused",
        "is it up, and its sshd running",
    ),
    "wrong user": (
        lambda _: {"ansible_user": "nobody"},
        "SSH lets nobody not in",
        "ssh-copy-id",
    ),
    "no key": (
        lambda hosts: {"ansible_ssh_private_key_file": str(hosts.folder / "no-such-key")},
        "there is no key to let root in with",
        "ansible_ssh_private_key_file",
    ),
    "unknown host key": (
        lambda _: {"ansible_ssh_common_args": "-o UserKnownHostsFile=/dev/null"},
        "its host key is not known",
        "compare the fingerprint",
    ),
    "changed host key": (
        lambda hosts: {"ansible_ssh_common_args": f"-o UserKnownHostsFile={hosts.folder}/swapped"},
        "its host key is not the one that is known: it shows .*SHA256:",
        "ssh-keygen -f .*swapped -R ",
    ),
}


@pytest.mark.parametrize("case", WAYS)
def test_a_way_that_is_closed_is_named(
    hosts: Hosts, case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # this machine's own keys are no way in
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (hosts.folder / "swapped").write_text(swapped(hosts.known_hosts.read_text()))
    way, fault, mend = WAYS[case]
    inventory = hosts.write_inventory("way.yml", variables={"h1": way(hosts)})
    with pytest.raises(LabError, match=fault) as told:
        reached(inventory)
    assert told.value.place == "h1"
    assert told.value.mend is not None
    assert re.search(mend, told.value.mend)


def test_a_host_that_is_off_is_named(spoilt: Hosts) -> None:
    """Nobody answers for it: the wait has a limit, and the other host is checked all the same."""
    spoilt["h1"].kill()
    finding = found(spoilt.inventory, "h1")
    assert not finding.ok
    assert "cannot be reached" in finding.detail or "does not answer" in finding.detail
    assert found(spoilt.inventory, "h2").ok


def test_options_that_ssh_does_not_know_are_the_inventorys_fault(hosts: Hosts) -> None:
    options = {"h1": {"ansible_ssh_common_args": "-o NoSuchOption=1"}}
    inventory = hosts.write_inventory("options.yml", variables=options)
    with pytest.raises(InputError, match="h1: ssh makes no sense of its options") as told:
        reached(inventory)
    assert "nosuchoption" in str(told.value).lower()


def test_fabric_leaves_no_connection_behind(hosts: Hosts) -> None:
    ss = shutil.which("ss")
    assert ss is not None
    reached(hosts.inventory)
    address = hosts["h1"].address
    asked = subprocess.run(
        [ss, "-Htn", "state", "established", "dst", address], capture_output=True, text=True, check=True
    )  # fmt: skip
    assert asked.stdout == ""
