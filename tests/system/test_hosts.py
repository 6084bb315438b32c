"""The hosts that labs over SSH are tested with are what they are taken for: see tests/hosts."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import Hosts, HostsError, debian_hosts, faults
from tests.system.processes import wait_until

pytestmark = [pytest.mark.hosts, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

SMALL_PACKAGE = "cowsay"
EVERYTHING_STARTED = "systemctl is-system-running --wait"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Two hosts that no test spoils, and that have addresses on the migration network."""
    folder = tmp_path_factory.mktemp("hosts")
    with debian_hosts(["h1", "h2"], folder, migration_addresses=True) as made:
        yield made


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Hosts]:
    """One to be spoilt."""
    with debian_hosts(["h1"], tmp_path / "hosts") as made:
        yield made


def reach(hosts: Hosts, source: str, address: str) -> str:
    """What a host hears on port 22 of an address: a host has no ping, but Python."""
    ask = "import socket, sys; s = socket.create_connection((sys.argv[1], 22), 1); print(s.recv(4).decode())"
    done = hosts[source].run(f"python3 -c '{ask}' {address.partition('/')[0]}")
    return done.stdout.strip() or done.stderr


def test_one_logs_in_as_root_and_as_a_user_who_may_sudo(hosts: Hosts) -> None:
    for host in hosts:
        assert host.ssh("hostname; id -un").stdout.split() == [host.name, "root"]
        asked = host.ssh("id -un; sudo -n id -un; pwd; stat -c %U .ssh", user="lab")
        assert asked.stdout.split() == ["lab", "root", "/home/lab", "lab"]


def test_an_unknown_and_a_changed_key_are_refused(hosts: Hosts, tmp_path: Path) -> None:
    h1, h2 = hosts
    keys = hosts.known_hosts.read_text()
    other = tmp_path / "known_hosts"
    for text, said in (("", "No ED25519 host key is known"), (swapped(keys), "HAS CHANGED")):
        other.write_text(text)
        command = [part.replace(str(hosts.known_hosts), str(other)) for part in h1.ssh_command()]
        done = subprocess.run(
            [*command, "true"], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 255
        assert said in done.stderr
    assert len({host.run("cat /etc/machine-id").stdout for host in (h1, h2)}) == 2


def swapped(keys: str) -> str:
    (a, *key_a), (b, *key_b) = (line.split() for line in keys.splitlines())
    return f"{' '.join([a, *key_b])}\n{' '.join([b, *key_a])}\n"


def test_they_are_whole_machines_with_nothing_on_them(hosts: Hosts) -> None:
    for host in hosts:
        assert host.run(EVERYTHING_STARTED).stdout.strip() == "running"
        assert host.run("cat /etc/debian_version").stdout.startswith("12.")
        wanted = ["python3", "sudo", "sshd"]
        programs = " ".join(
            [*wanted, "ip", "tc", "qemu-system-x86_64", "ansible", "chronyd", "make"]
        )
        found = host.run(f"for program in {programs}; do command -v $program; done").stdout.split()
        assert [Path(path).name for path in found] == wanted
        assert (host.root / "etc/hostname").read_text() == f"{host.name}\n"


def test_a_service_that_stops_stops_on_one_host(hosts: Hosts) -> None:
    """Containers that share a control group count each other's processes."""
    h1, h2 = hosts
    assert h1.run("systemctl restart ssh").returncode == 0
    control_group = "cat /sys/fs/cgroup/systemd/system.slice/ssh.service/cgroup.procs 2>/dev/null"
    control_group += " || cat /sys/fs/cgroup/system.slice/ssh.service/cgroup.procs"
    for host in (h1, h2):
        pids = host.run(control_group).stdout.split()
        assert pids
        assert "0" not in pids, "a process that this host cannot see is in its service"
        assert host.ssh("true").returncode == 0


def test_apt_installs(hosts: Hosts) -> None:
    h1 = hosts["h1"]
    done = h1.ssh(
        f"apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y {SMALL_PACKAGE}",
        within_s=240,
    )
    assert done.returncode == 0, done.stderr
    assert h1.run(f"test -x /usr/games/{SMALL_PACKAGE}").returncode == 0
    assert hosts["h2"].run(f"test -e /usr/games/{SMALL_PACKAGE}").returncode == 1


def test_they_reach_each_other_over_both_networks(hosts: Hosts) -> None:
    h1, h2 = hosts
    assert reach(hosts, "h1", h2.address) == "SSH-"
    assert reach(hosts, "h1", h2.migration_address) == "SSH-"
    assert reach(hosts, "h2", h1.migration_address) == "SSH-"
    h2.cut(migration=True)
    assert "Error" in reach(hosts, "h1", h2.migration_address)
    assert reach(hosts, "h1", h2.address) == "SSH-"
    h2.join(migration=True)
    assert reach(hosts, "h1", h2.migration_address) == "SSH-"


def test_this_machine_is_not_on_the_migration_network(hosts: Hosts) -> None:
    bridge = hosts.rack.number.migration_bridge
    (described,) = json.loads(ip("address", "show", bridge))
    assert described["addr_info"] == []
    assert {link["ifname"] for link in json.loads(ip("link", "show", "master", bridge))} == {
        hosts.rack.number.migration_cable(index) for index in (0, 1)
    }


def ip(*arguments: str) -> str:
    return subprocess.run(
        ["ip", "-json", *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout


def test_large_packets_pass_where_both_hosts_say_so(hosts: Hosts) -> None:
    """The cables do not decide: a host's own MTU does."""
    assert large_packet_arrives(hosts) is False
    for host in hosts:
        set_mtu(hosts, host.name, 9000)
    assert large_packet_arrives(hosts) is True
    set_mtu(hosts, "h2", 1500)
    assert large_packet_arrives(hosts) is False
    set_mtu(hosts, "h1", 1500)


def set_mtu(hosts: Hosts, name: str, mtu: int) -> None:
    ask = "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8922, struct.pack('16si12x', b'mig0', {mtu}))"
    assert hosts[name].run(f'python3 -c "{ask.format(mtu=mtu)}"').returncode == 0


def large_packet_arrives(hosts: Hosts) -> bool:
    """Whether a datagram of 8000 bytes goes from h1 to h2 in one piece."""
    h1, h2 = hosts
    address = h2.migration_address.partition("/")[0]
    ask = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
    listen = (
        ask
        + f"s.bind(('{address}', 9)); print(flush=True); s.settimeout(1); print(len(s.recv(9000)))"
    )
    send = ask + f"s.setsockopt(0, 10, 2); s.sendto(bytes(8000), ('{address}', 9))"
    enter = ["nsenter", "--target", str(h2.pid), "--all", "python3", "-c", listen]
    with subprocess.Popen(
        enter, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        h1.run(f'python3 -c "{send}"')
        heard, _ = process.communicate(timeout=10)
    return heard.strip() == "8000"


def test_the_inventory_is_a_lab(hosts: Hosts) -> None:
    as_lab = hosts.write_inventory(
        "as-lab.yml", user="lab", variables={"h1": {"labctl_qemu": "/opt/qemu"}}
    )
    listed = json.loads(ansible("ansible-inventory", "-i", str(as_lab), "--list"))
    assert listed["hypervisors"]["hosts"] == ["h1", "h2"]
    h1 = listed["_meta"]["hostvars"]["h1"]
    assert h1["labctl_migration_interface"] == "mig0"
    assert h1["labctl_migration_address"].endswith(".11/24")
    assert h1["labctl_qemu"] == "/opt/qemu"
    for inventory, options in ((hosts.inventory, ()), (as_lab, ("--become",))):
        said = ansible("ansible", "-i", str(inventory), "all", *options, "-m", "command", "-a", "id -un")  # fmt: skip
        assert said.split().count("root") == 2, said


def ansible(program: str, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_cut_cable_is_silence(hosts: Hosts) -> None:
    h1 = hosts["h1"]
    with subprocess.Popen(
        [*h1.ssh_command(), "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        heard = shell.stdout
        os.set_blocking(heard.fileno(), False)
        say(shell, b"before\n")
        wait_until(lambda: heard.read() == b"before\n", "the echo")
        h1.cut()
        say(shell, b"meanwhile\n")
        with pytest.raises(subprocess.TimeoutExpired):  # neither an answer nor a reset ends it
            shell.wait(2)
        assert heard.read() is None
        with pytest.raises(OSError, match=r"timed out|No route to host"):
            socket.create_connection((h1.address, 22), 0.5)
        h1.join()
        wait_until(lambda: heard.read() == b"meanwhile\n", "the echo, late")
        shell.stdin.close()
        assert shell.wait(10) == 0


def say(shell: "subprocess.Popen[bytes]", line: bytes) -> None:
    assert shell.stdin is not None
    shell.stdin.write(line)
    shell.stdin.flush()


def test_a_killed_host_says_nothing_and_boots_with_what_was_written(host: Hosts) -> None:
    h1 = host["h1"]
    before = h1.pid
    assert h1.run("echo kept >/root/written; echo lost >/run/lost; sync").returncode == 0
    with socket.create_connection((h1.address, 22), 5) as connection:
        assert connection.recv(4) == b"SSH-"
        connection.recv(1000)
        h1.kill()
        assert not Path(f"/proc/{before}").exists()
        connection.settimeout(1)
        with pytest.raises(TimeoutError):  # a shut or reset connection would say so
            connection.recv(1)
    with pytest.raises(HostsError, match="h1 is off"):
        h1.run("true")
    h1.boot()
    assert h1.pid != before
    assert h1.ssh("cat /root/written; ls /run/lost").stdout == "kept\n"
    assert h1.run(EVERYTHING_STARTED).stdout.strip() == "running"


def test_a_host_that_switched_itself_off_boots_again(host: Hosts) -> None:
    h1 = host["h1"]
    with pytest.raises(HostsError, match="h1: is on already"):
        h1.boot()
    before = h1.pid
    h1.run("systemctl poweroff")
    wait_until(lambda: not Path(f"/proc/{before}").exists(), "it is off")
    h1.boot()
    assert h1.ssh("hostname").stdout == "h1\n"


@pytest.fixture
def without_set_user_id(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system that is mounted as the one of temporary files often is."""
    place = tmp_path / "nosuid"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "nosuid,nodev,size=1g", "tmpfs"]
    subprocess.run(["mount", *options, str(place)], check=True, timeout=10)
    yield place
    subprocess.run(["umount", str(place)], check=True, timeout=10)


def test_a_host_is_a_copy_where_the_kernel_cannot_layer(
    without_set_user_id: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.hosts.disk._can_layer", lambda *_: False)
    with debian_hosts(["h1"], without_set_user_id / "hosts") as hosts:
        assert not hosts["h1"].disk.layered
        asked = hosts["h1"].ssh("sudo -n id -un", user="lab")
        assert asked.stdout == "root\n", asked.stderr
        assert (hosts["h1"].disk.root / "usr/sbin/sshd").exists()


def test_kernel_settings_are_written_only_where_that_was_asked_for(
    host: Hosts, tmp_path: Path
) -> None:
    with debian_hosts(["h2"], tmp_path / "kernel", kernel=True) as kernel:
        for setting in ("/proc/sys/vm/swappiness", "/sys/kernel/mm/ksm/pages_to_scan"):
            write_back = f"value=$(cat {setting}) && echo $value >{setting}"
            assert kernel["h2"].run(write_back).returncode == 0
            assert "Read-only file system" in host["h1"].run(write_back).stderr
        kernel["h2"].kill()
        kernel["h2"].boot()
        assert kernel["h2"].run(write_back).returncode == 0


def test_faults_of_privilege(host: Hosts) -> None:
    h1 = host["h1"]
    faults.ask_for_password(h1)
    asks = h1.ssh("sudo -n true", user="lab")
    assert "a password is required" in asks.stderr
    given = h1.ssh("sudo -S -p '' id -un", user="lab", said=f"{faults.PASSWORD}\n")
    assert given.stdout == "root\n"
    faults.forbid_sudo(h1)
    refused = h1.ssh("sudo -S -p '' id -un", user="lab", said=f"{faults.PASSWORD}\n")
    assert "not in the sudoers file" in refused.stderr
    faults.remove_sudo(h1)
    assert "not found" in h1.ssh("sudo -n true", user="lab").stderr


def test_faults_of_python(host: Hosts) -> None:
    h1 = host["h1"]
    faults.age_python(h1, "3.7")
    asked = "python3 -V; python3 -c 'import sys; print(sys.version_info >= (3, 9), sys.version_info[:2])'"
    assert h1.ssh(asked).stdout.splitlines() == ["Python 3.7.3", "False (3, 7)"]
    faults.remove_python(h1)
    assert "not found" in h1.ssh("python3 -V").stderr


def test_faults_of_limits_and_space(host: Hosts) -> None:
    h1 = host["h1"]
    faults.limit_memlock(h1)
    for user in ("root", "lab"):
        assert h1.ssh("ulimit -Hl", user=user).stdout == "64\n"
    faults.fill(h1, "/var/lib/labctl")
    full = h1.ssh("echo more >/var/lib/labctl/more", user="lab")
    assert "No space left on device" in full.stderr
