"""Campaigns on real hosts over SSH go on, or are refused, whatever happens to the hosts on the way. No time is measured here."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labctl import api
from labctl.campaign import Campaign, dump_campaign
from labctl.errors import LabError, LabHeld
from labctl.lab import check_lab, clean_lab, open_lab
from labctl.provision import provision
from labctl.results import Run, load_run
from tests.hosts import Hosts, debian_hosts
from tests.system.bench import campaign
from tests.system.rack import (
    PAIR,
    ended,
    left_on,
    nothing_left,
    ran,
    runs_on,
    until,
    until_nothing_left,
)

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

LONG = campaign(
    name="long",
    algorithm="precopy",
    guest={"memory": "128MiB", "working_set": "64MiB", "write_rate": "100MiB/s"},
    link={"bandwidth": "200Mbit/s"},
    limits={"total_time": "5s"},
    repetitions=2,
)
"""Two trials that do not converge, and so are long enough for something to happen to them."""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Two that the playbooks made from empty ones."""
    with debian_hosts(PAIR, tmp_path_factory.mktemp("rack")) as made:
        provision(str(made.inventory))
        yield made


@pytest.fixture
def pair(hosts: Hosts) -> Iterator[str]:
    """They as a lab, which is as it was at the end."""
    yield str(hosts.inventory)
    nothing_left(hosts)


class Running:
    """A campaign on the command line, in a process of its own."""

    def __init__(self, folder: Path, asked: Campaign, lab: str) -> None:
        self.out = folder / "runs"
        file = folder / f"{asked.name}.yaml"
        file.write_text(dump_campaign(asked))
        command = [sys.executable, "-m", "labctl", "run", str(file)]
        self.process = subprocess.Popen(
            [*command, "--lab", lab, "--out", str(self.out)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def status(self, within_s: float = 300) -> int:
        self.said = ended(self.process, within_s)
        return self.process.returncode

    @property
    def run(self) -> Run:
        return load_run("latest", self.out)


def test_all_is_well_with_hosts_that_were_provisioned(pair: str) -> None:
    findings = check_lab(pair)
    assert all(finding.ok for finding in findings), findings
    whats = {finding.what.partition(": ")[2].partition(" to ")[0] for finding in findings}
    assert {"interface", "QEMU", "guest", "userfaultfd", "link", "beats", "time of day"} <= whats


def test_a_link_is_given_back_as_it_was(hosts: Hosts, pair: str) -> None:
    asked = campaign(link={"bandwidth": "100Mbit/s", "mtu": "1400"}).link
    with open_lab(pair, "link") as lab:
        (opened,) = lab.pairs.values()
        opened.set_link(asked)
        shown = hosts["h1"].run("tc qdisc show dev mig0; ip link show mig0").stdout
        assert "tbf" in shown
        assert "mtu 1400" in shown
    assert not left_on(hosts["h1"])


def test_a_link_is_given_back_after_a_killed_agent(hosts: Hosts, pair: str) -> None:
    asked = campaign(link={"bandwidth": "100Mbit/s"}).link
    with open_lab(pair, "link") as lab:
        (opened,) = lab.pairs.values()
        opened.set_link(asked)
        hosts["h1"].run("pkill -KILL -f '[a]gent-'")
    assert "tbf" in left_on(hosts["h1"])
    (left,) = clean_lab(pair)
    assert left["host"] == "h1"
    (kept,) = left["interfaces"]
    assert (kept["interface"], kept["mtu"]) == ("mig0", 1500)
    assert (
        kept["gso_max_segs"] > 1
    )  # as the kernel had it, which is not the same on every kind of interface
    assert not left_on(hosts["h1"])
    assert clean_lab(pair) == []


def test_a_second_controller_is_refused(pair: str, tmp_path: Path) -> None:
    with open_lab(pair, "first"):
        with pytest.raises(LabHeld, match="held by run first"):
            api.run(LONG, lab=pair, out=tmp_path)
        second = Running(tmp_path, LONG, pair)
        assert second.status() == 3
        assert "held by run first of user" in second.said
        assert "--share" in second.said


def in_a_trial(hosts: Hosts, running: Running) -> None:
    """Wait until the first trial has its machines."""
    until(
        lambda: runs_on(hosts["h1"], "[q]emu-system.*guest=labctl-(source|destination)"),
        60,
        running.process.poll,
    )


@pytest.mark.parametrize("victim", ["h1", "h2"])
def test_ssh_cut_in_a_trial_costs_an_attempt(
    hosts: Hosts, pair: str, tmp_path: Path, victim: str
) -> None:
    """The node ends what it started within seconds; the attempt is kept and repeated, and the campaign goes on. Each end
    gives up after 10 s of silence, the observer of the beats after 5 s: whichever is first says so."""
    running = Running(tmp_path, LONG, pair)
    in_a_trial(hosts, running)
    hosts[victim].cut()
    try:
        until_nothing_left(hosts[victim])
    finally:
        hosts[victim].join()
    assert running.status() == 0, running.said
    attempts = running.run.attempts(1)
    assert [attempt.record.outcome for attempt in attempts] == ["interrupted"]
    reason = attempts[0].record.reason or ""
    assert re.search(r"nothing was heard of (its host|its controller|it) for (10|5) s", reason), (
        reason
    )
    assert len(running.run.frame()) == 2


def test_a_host_killed_in_a_trial_costs_an_attempt(hosts: Hosts, pair: str, tmp_path: Path) -> None:
    running = Running(tmp_path, LONG, pair)
    in_a_trial(hosts, running)
    hosts["h2"].kill()
    hosts["h2"].boot()
    assert running.status() == 0, running.said
    assert len(running.run.frame()) == 2
    assert len(running.run.attempts(1)) >= 1


def test_a_killed_controller_leaves_nothing_and_is_resumed(
    hosts: Hosts, pair: str, tmp_path: Path
) -> None:
    running = Running(tmp_path, LONG, pair)
    in_a_trial(hosts, running)
    running.process.kill()
    running.process.communicate()
    nothing_left(hosts, within_s=5)
    result = api.resume("latest", out=running.out)
    assert result.exit_code == 0
    assert len(running.run.frame()) == 2


# --- hosts that cannot do what is asked ---


def said_of(lab: str, what: str) -> tuple[bool, str]:
    """What `lab check` finds of one thing: whether it is well, the detail and the mend."""
    findings = {finding.what: finding for finding in check_lab(lab)}
    assert what in findings, "\n".join(map(str, findings.values()))
    found = findings[what]
    return found.ok, f"{found.detail} mend: {found.mend}"


@pytest.mark.parametrize("jumbo", PAIR)
def test_an_mtu_that_does_not_pass_is_named(hosts: Hosts, pair: str, jumbo: str) -> None:
    """One host has it, and the other takes no such packets."""
    assert hosts[jumbo].run("ip link set mig0 mtu 9000").returncode == 0
    try:
        ok, said = said_of(pair, "h1-h2: link")
        assert not ok
        assert "packets of 9000 bytes do not pass" in said
        assert "every interface and switch" in said
    finally:
        hosts[jumbo].run("ip link set mig0 mtu 1500")


def test_hosts_whose_clocks_are_apart_are_named(hosts: Hosts, pair: str) -> None:
    """Told, and no more: labctl measures with clocks that it has compared itself. All containers have this machine's clock, so
    the agent of one is made to read another.
    """
    clock = "time.time_ns"
    late = f"import time; now = {clock}; {clock} = lambda: now() + 10 * 10**9"
    custom = "/usr/lib/python3.11/sitecustomize.py"
    hosts["h2"].run(f"mv {custom} {custom}.kept; echo '{late}' >{custom}")
    try:
        ok, said = said_of(pair, "h1-h2: time of day")
    finally:
        hosts["h2"].run(f"rm {custom}; mv {custom}.kept {custom}")
    assert not ok
    assert "10 s apart" in said
    assert "time_sync" in said


def test_memory_that_may_not_be_locked_is_named(hosts: Hosts, pair: str) -> None:
    """Not even root may raise the limit there. It is a fault where there is RDMA; here it is told."""
    bound = "/usr/local/bin/python-bound"
    script = '#!/bin/sh\nulimit -l 64\nexec setpriv --bounding-set=-sys_resource python3 "$@"\n'
    made = hosts["h1"].run(f"cat >{bound} && chmod 755 {bound}", said=script)
    assert made.returncode == 0, made.stderr
    variables = {"h1": {"ansible_python_interpreter": bound}}
    lab = str(hosts.write_inventory("bound.yml", variables=variables))
    ok, said = said_of(lab, "h1: memlock")
    assert ok
    assert "64 KiB of memory may be locked" in said
    assert "role hypervisor" in said


def test_hosts_with_other_machine_types_are_refused(hosts: Hosts, tmp_path: Path) -> None:
    """Before the first trial: no migration between them would succeed."""
    variables = {"h2": {"labctl_machine": "pc-i440fx-7.1"}}
    lab = str(hosts.write_inventory("other.yml", variables=variables))
    ok, said = said_of(lab, "pair h1-h2")
    assert not ok
    assert "at h1 has pc-i440fx-7.2" in said
    assert "at h2 has pc-i440fx-7.1" in said
    with pytest.raises(LabError, match="the machine types differ") as refused:
        api.run(LONG, lab=lab, out=tmp_path)
    assert "labctl_machine" in str(refused.value.mend)
    nothing_left(hosts)


def test_a_full_disk_on_a_host_is_named(hosts: Hosts, pair: str, tmp_path: Path) -> None:
    hosts["h1"].run("mkdir -p /run/labctl && mount -t tmpfs -o size=4k,mode=755 full /run/labctl")
    hosts["h1"].run("cat /dev/zero >/run/labctl/full")
    try:
        with pytest.raises(LabError, match=r"node h1: .*No space left on device") as full:
            api.run(LONG, lab=pair, out=tmp_path)
        assert full.value.mend == "make room on that host's file system"
    finally:
        hosts["h1"].run("umount /run/labctl")


def test_a_shaped_link_that_carries_ssh_is_refused(hosts: Hosts, tmp_path: Path) -> None:
    """Its trials are unsupported, by a rule with a mend; a link that is left as it is will do."""
    alone = {
        name: {
            "labctl_migration_interface": "mgmt0",
            "labctl_migration_address": f"{hosts[name].address}/24",
        }
        for name in PAIR
    }
    lab = str(hosts.write_inventory("one-network.yml", variables=alone))
    rules = {trial.rule for trial in api.plan(LONG, lab=lab).trials}
    assert rules == {"link-carries-ssh"}
    run = ran(
        campaign(algorithm="postcopy", link={"bandwidth": "none", "mtu": "none"}), lab, tmp_path
    )
    assert list(run.frame()["outcome"].astype(str)) == ["completed"]
    nothing_left(hosts)
