"""The roles of a host by itself, on real ones: hypervisor, host_tuning, time_sync, qemu, and the packages that come and go.

What is the machine's own and not a container's (governor, huge pages, the sysctl of userfaultfd, KVM's module) is set in a copy of
/sys and /proc, and seen to be left out, with the reason, where it is the machine's.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from labctl.errors import ProvisionError
from tests.hosts import Host, Hosts, debian_hosts
from tests.provisioning import Player
from tests.snapshots import assert_same, take

pytestmark = [
    pytest.mark.hosts, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(200),
]  # fmt: skip


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    folder = tmp_path_factory.mktemp("roles")
    with debian_hosts(["h1", "h2"], folder / "hosts") as hosts:
        yield hosts


@pytest.fixture(scope="module")
def play(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Player:
    return Player(hosts.inventory, tmp_path_factory.mktemp("play"))


def ok(host: Host, command: str, within_s: float = 60.0) -> str:
    done = host.run(command, within_s=within_s)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_user_limits_and_what_is_the_machines(hosts: Hosts, play: Player) -> None:
    h1, h2 = hosts["h1"], hosts["h2"]
    # A user that is there, in a group of somebody's: it keeps both, and is not removed.
    ok(
        h2,
        "useradd --no-create-home labctl && groupadd kvm && groupadd theirs && gpasswd --add labctl theirs",
    )
    before = {host.name: take(host) for host in hosts}
    would = play("hypervisor", check=True)
    assert "labctl: absent -> in no group but its own" in would.changes
    assert "labctl: in theirs -> in kvm, theirs" in would.changes
    assert_same(before["h1"], take(h1))

    played = play("hypervisor")
    assert play("hypervisor").changed == []
    assert ok(h1, "id --name --groups labctl") == "labctl\n"
    assert ok(h1, "getent passwd labctl").endswith(":/nonexistent:/usr/sbin/nologin\n")
    assert ok(h2, "id --name --groups labctl").split()[1:] == ["kvm", "theirs"]
    said = "\n".join(played.said)
    assert "vm/unprivileged_userfaultfd is read-only here" in said
    limits = ok(h1, "su --shell /bin/sh --command 'ulimit -l; ulimit -n' labctl").split()
    may_raise = int(ok(h1, "sed -n 's/^CapEff:\\s*//p' /proc/self/status"), 16) >> 24 & 1
    if may_raise:
        assert limits == ["unlimited", "65536"]
    else:  # said, and no failure
        assert f"limits stay at memlock {limits[0]} KiB, nofile {limits[1]}" in said
    play.back("hypervisor")
    for host in hosts:
        assert_same(before[host.name], take(host))
    ok(h2, "userdel labctl && groupdel kvm && groupdel theirs")


def test_limits_that_others_undo_are_a_fault(hosts: Hosts, play: Player) -> None:
    """Where root may raise them: a file that comes after ours wins."""
    h1 = hosts["h1"]
    ok(h1, "printf 'labctl - nofile 512\\n' >/etc/security/limits.d/90-theirs.conf")
    may_raise = int(ok(h1, "sed -n 's/^CapEff:\\s*//p' /proc/self/status"), 16) >> 24 & 1
    try:
        if not may_raise:
            assert "nofile 512" in "\n".join(play("hypervisor", limit="h1").said)
            return
        with pytest.raises(ProvisionError, match="nofile 512; asked for were") as caught:
            play("hypervisor", limit="h1")
        assert "may come after 60-labctl.conf" in str(caught.value)
    finally:
        play.back("hypervisor", limit="h1")
        ok(h1, "rm /etc/security/limits.d/90-theirs.conf")


SYS = "/srv/copy"
FAKE = f"""
set -e
put() {{ mkdir -p "$(dirname "{SYS}$1")"; echo "$2" >"{SYS}$1"; }}
for cpu in 0 1; do
  put /sys/devices/system/cpu/cpufreq/policy$cpu/scaling_governor powersave
  put /sys/devices/system/cpu/cpu$cpu/power/pm_qos_resume_latency_us 0
done
put /sys/devices/system/cpu/cpufreq/boost 1
put /sys/kernel/mm/transparent_hugepage/enabled madvise
put /sys/kernel/mm/ksm/run 1
put /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages 0
put /proc/sys/vm/unprivileged_userfaultfd 0
put /proc/irq/1/smp_affinity_list 0-1
put /proc/irq/24/smp_affinity_list 0-1
put /proc/irq/default_smp_affinity 3
printf '[Service]\\nExecStart=sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' \\
  >/etc/systemd/system/irqbalance.service
systemctl --quiet daemon-reload
systemctl --quiet enable --now irqbalance
"""
ALL: dict[str, Any] = {
    "host_tuning_sys_root": SYS,
    "host_tuning_governor": "performance",
    "host_tuning_turbo": False,
    "host_tuning_transparent_hugepages": "never",
    "host_tuning_ksm": False,
    "host_tuning_numa_balancing": False,
    "host_tuning_irqbalance": False,
    "host_tuning_irq_cpus": "1",
    "host_tuning_wakeup_latency_us": "10",
}
READ = f"cd {SYS} && grep --recursive '' . | sort"


@pytest.fixture(scope="module")
def copied(hosts: Hosts) -> Iterator[Host]:
    """A host with a copy of what would be the machine's, and an irqbalance that runs."""
    host = hosts["h1"]
    ok(host, FAKE)
    yield host
    ok(
        host,
        f"systemctl --quiet disable --now irqbalance; rm -r {SYS} /etc/systemd/system/irqbalance.service",
    )


def test_tuning_is_set_recorded_taken_back_one_by_one_and_restored(
    copied: Host, play: Player
) -> None:
    before, values = take(copied), ok(copied, READ)
    would = play("host_tuning", check=True, limit="h1", **ALL)
    assert "cpufreq/policy1/scaling_governor: powersave -> performance" in would.changes
    assert ok(copied, READ) == values

    played = play("host_tuning", limit="h1", **ALL)
    assert play("host_tuning", limit="h1", **ALL).changed == []
    # What the host does not have is left out, with the reason.
    assert any("numa_balancing is not there" in said for said in played.said)
    now = ok(copied, READ)
    for line in (
        "./sys/devices/system/cpu/cpufreq/policy0/scaling_governor:performance",
        "./sys/devices/system/cpu/cpufreq/policy1/scaling_governor:performance",
        "./sys/devices/system/cpu/cpufreq/boost:0",
        "./sys/devices/system/cpu/cpu1/power/pm_qos_resume_latency_us:10",
        "./sys/kernel/mm/transparent_hugepage/enabled:never",
        "./sys/kernel/mm/ksm/run:2",
        "./proc/irq/24/smp_affinity_list:1",
        "./proc/irq/default_smp_affinity:3",
    ):
        assert line in now.splitlines()
    assert copied.run("systemctl is-active irqbalance").stdout == "inactive\n"
    assert copied.run("systemctl is-enabled irqbalance").stdout == "disabled\n"

    fewer = {name: value for name, value in ALL.items() if name != "host_tuning_governor"}
    assert "performance -> powersave" in play("host_tuning", limit="h1", **fewer).changes
    play.back("host_tuning", limit="h1")
    assert ok(copied, READ) == values
    assert ok(copied, "systemctl is-active irqbalance") == "active\n"
    assert_same(before, take(copied))


def test_tuning_that_a_host_must_have_and_has_not(copied: Host, play: Player) -> None:
    missing = {**ALL, "host_tuning_required": ["numa_balancing"]}
    with pytest.raises(ProvisionError, match="numa_balancing is not there"):
        play("host_tuning", check=True, limit="h1", **missing)
    balanced = {**ALL, "host_tuning_irqbalance": ""}
    with pytest.raises(
        ProvisionError, match="irqbalance would move the interrupts again"
    ) as caught:
        play("host_tuning", check=True, limit="h1", **balanced)
    assert str(caught.value).endswith("mend: host_tuning_irqbalance: false")


def test_in_a_container_tuning_is_the_machines(hosts: Hosts, play: Player) -> None:
    """Nothing is set, and each setting's reason is told."""
    own = {**ALL, "host_tuning_sys_root": ""}
    played = play("host_tuning", limit="h2", **own)
    assert played.changed == []
    said = "\n".join(played.said)
    for reason in (
        "scaling_governor is not there",
        "transparent_hugepage/enabled is read-only here",
        "there is no service irqbalance",
    ):
        assert reason in said


def test_huge_pages_and_userfaultfd_where_the_host_lets_us(copied: Host, play: Player) -> None:
    values = ok(copied, READ)
    asked: dict[str, Any] = {"hypervisor_sys_root": SYS, "hypervisor_hugepages": {"2048kB": 512}}
    play("hypervisor", limit="h1", **asked)
    assert play("hypervisor", limit="h1", **asked).changed == []
    now = ok(copied, READ).splitlines()
    assert "./sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages:512" in now
    assert "./proc/sys/vm/unprivileged_userfaultfd:1" in now
    assert "vm.unprivileged_userfaultfd = 1" in ok(copied, "cat /etc/sysctl.d/60-labctl.conf")
    play.back("hypervisor", limit="h1")
    assert ok(copied, READ) == values
    with pytest.raises(ProvisionError, match="hugepages-1048576kB/nr_hugepages is not there"):
        play(
            "hypervisor", limit="h1", hypervisor_sys_root=SYS, hypervisor_hugepages={"1048576kB": 4}
        )
    play.back("hypervisor", limit="h1")
    with pytest.raises(ProvisionError, match="such as 2048kB"):
        play("hypervisor", check=True, hypervisor_hugepages={"2M": 4})


def apt_get(host: Host, *words: str) -> None:
    ok(host, f"DEBIAN_FRONTEND=noninteractive apt-get -qq --yes {' '.join(words)}", within_s=120)


def test_hosts_follow_one_of_them_and_get_their_own_time_keeping_back(
    hosts: Hosts, play: Player
) -> None:
    """h1 has a chrony of its own, h2 another daemon, which apt removes for chrony."""
    h1, h2 = hosts["h1"], hosts["h2"]
    # Nor may the test's own chrony touch this machine's clock.
    ok(h1, "mkdir -p /etc/chrony; echo 'DAEMON_OPTS=\"-x -F 1\"' >/etc/default/chrony")
    ok(
        h1,
        "printf '# my own\\nport 0\\ndriftfile /var/lib/chrony/chrony.drift\\n' >/etc/chrony/chrony.conf",
    )
    for host, package in ((h1, "chrony"), (h2, "systemd-timesyncd")):
        apt_get(host, "update")
        apt_get(
            host,
            "--no-install-recommends",
            "-o",
            "Dpkg::Options::=--force-confold",
            "install",
            package,
        )
    ok(h2, "apt-mark auto systemd-timesyncd")
    before = {host.name: take(host) for host in hosts}
    asked: dict[str, Any] = {
        "time_sync_reference": "h1",
        "time_sync_wait_s": 30,
        "time_sync_within_ms": 5,
    }

    played = play("time_sync", **asked)
    assert any("A container has the clock of its machine" in said for said in played.said)
    assert play("time_sync", **asked).changed == []
    for host in hosts:
        assert " -x" in ok(host, "tr '\\0' ' ' </proc/$(pidof -s chronyd)/cmdline")
    assert h1.address in ok(h2, "chronyc -n sources")
    assert "Normal" in ok(h2, "chronyc -n tracking")
    assert "systemd-timesyncd auto" in ok(h2, "cat /var/lib/labctl/provisioned/time_sync.removed")

    nobody: dict[str, Any] = {"time_sync_sources": ["192.0.2.1"], "time_sync_wait_s": 2}
    with pytest.raises(
        ProvisionError, match="the clock of h2 is not within 1 ms after 2 s"
    ) as caught:
        play("time_sync", limit="h2", **nobody)
    assert "chronyc sources shows whom it follows" in str(caught.value)

    assert play.back("time_sync", check=True).changed
    play.back("time_sync")
    for host in hosts:
        assert_same(before[host.name], take(host))
    assert "# my own" in ok(h1, "cat /etc/chrony/chrony.conf")
    assert "-x -F 1" in ok(h1, "tr '\\0' ' ' </proc/$(pidof -s chronyd)/cmdline")
    assert ok(h2, "apt-mark showauto systemd-timesyncd") == "systemd-timesyncd\n"


def test_a_host_that_is_none_cannot_be_followed(hosts: Hosts, play: Player) -> None:
    with pytest.raises(ProvisionError, match="the inventory has no such host"):
        play("time_sync", check=True, time_sync_reference="h9")


def test_a_qemu_that_is_there_is_checked_and_not_installed(hosts: Hosts, play: Player) -> None:
    h1 = hosts["h1"]
    ok(
        h1,
        "printf '#!/bin/sh\\necho QEMU emulator version 9.9\\n' >/srv/qemu && chmod 755 /srv/qemu",
    )
    there: dict[str, Any] = {"qemu_source": "path", "labctl_qemu": "/srv/qemu"}
    before = take(h1)
    for check in (True, False):
        assert play("qemu", check=check, limit="h1", **there).changed == []
    assert_same(before, take(h1))
    for check in (True, False):
        with pytest.raises(ProvisionError, match="/srv/none does not answer --version") as caught:
            play("qemu", check=check, limit="h1", qemu_source="path", labctl_qemu="/srv/none")
        assert "mend: put a QEMU there" in str(caught.value)
    with pytest.raises(ProvisionError, match="labctl_qemu is no path"):
        play("qemu", check=True, limit="h1", qemu_source="path")
    ok(h1, "rm /srv/qemu")


def test_a_newer_qemu_is_put_beside_with_nothing_installed(hosts: Hosts, play: Player) -> None:
    h1 = hosts["h1"]
    before = take(h1)
    newer = "/opt/labctl/qemu/trixie/qemu-system-x86_64"
    beside: dict[str, Any] = {
        "qemu_source": "beside", "qemu_beside_suites": ["trixie"], "labctl_qemu": newer,
    }  # fmt: skip
    assert play("qemu", check=True, limit="h1", **beside).changed
    play("qemu", limit="h1", **beside)
    assert play("qemu", limit="h1", **beside).changed == []
    assert "version 10.0" in ok(h1, f"{newer} --version")
    assert h1.run("dpkg-query --show qemu-system-x86").returncode != 0
    play.back("qemu", limit="h1")
    assert_same(before, take(h1))
