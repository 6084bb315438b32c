"""Whatever ends a session of hosts, nothing of it is left: at once, or when the next one begins."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from labctl.node import procfs
from tests.hosts import HostsError, cgroups, debian_hosts, network, numbers, tree
from tests.hosts.disk import Disk
from tests.hosts.rack import clear_leftovers
from tests.system.conftest import interfaces
from tests.system.processes import wait_until

pytestmark = [pytest.mark.hosts, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

PROJECT = Path(__file__).parents[2]
GONE_WITHIN_S = 30.0
Traces = dict[str, Any]
OURS = "labctl-hosts-*"


def traces() -> Traces:
    """What of this machine a session of hosts changes while it lives."""
    settings = Path("/proc/sys/net/ipv4/conf").glob("*/forwarding")
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    folders = ("/run/systemd/nspawn/propagate", "/run/systemd/machines", "/var/lib/machines")
    return {
        "interfaces": {name for name in interfaces() if name.startswith("lth")},
        "mounts": [line for line in mounts if " /run " in line or str(tree.cache()) in line],
        "rules": {line for line in rules().splitlines() if "labctl" in line},
        "forwarding": {p.parent.name: p.read_text() for p in settings if "lth" not in str(p)},
        "ip_forward": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        "control groups": {path for parent in cgroups.parents() for path in parent.glob(OURS)},
        "numbers": numbers.claimed(),
        "folders": {p for name in (*folders, tempfile.gettempdir()) for p in Path(name).glob(OURS)},
    }


def rules() -> str:
    return subprocess.run(
        ["nft", "list", "ruleset"], capture_output=True, text=True, check=True, timeout=10
    ).stdout


def tree_of(pid: int) -> dict[int, int]:
    """A process and all that come from it, each with its start time."""
    found = {pid: procfs.start_time(pid)}
    with suppress(OSError):  # it has ended meanwhile
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found |= tree_of(int(child))
    return found


def living(processes: dict[int, int]) -> list[int]:
    return [pid for pid, started in processes.items() if 0 != procfs.start_time(pid) == started]


@pytest.fixture(autouse=True)
def before() -> Iterator[Traces]:
    """What there was; and nothing else may be there at the end."""
    clear_leftovers()
    found = traces()
    yield found
    assert traces() == found


@contextmanager
def command() -> Iterator["subprocess.Popen[str]"]:
    """`python -m tests.hosts` with two hosts that are up."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.hosts", "2"], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "Ctrl-C" in line:
                    break
            yield process
        finally:
            process.kill()


def rack_of(process: "subprocess.Popen[str]") -> int:
    """The process that has the hosts of a command."""
    (rack,) = (pid for pid in tree_of(process.pid) if b"tests.hosts.rack" in command_line(pid))
    return rack


def command_line(pid: int) -> bytes:
    with suppress(OSError):  # it has ended meanwhile
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_an_end_leaves_nothing(tmp_path: Path, before: Traces) -> None:
    with debian_hosts(["h1", "h2"], tmp_path) as hosts:
        during = traces()
        assert all(
            during[what] != before[what] for what in ("interfaces", "rules", "control groups")
        )
        processes = tree_of(hosts.rack.pid)
        assert len(processes) > 10
        uplink = network._uplink()
        assert during["forwarding"][uplink] == "1\n"
    assert living(processes) == []
    assert traces() == before


def test_hosts_that_do_not_come_up_leave_nothing(
    tmp_path: Path, before: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second has nothing to boot from."""
    monkeypatch.setattr("tests.hosts.session.give_migration_address", without_init)
    with (
        pytest.raises(HostsError, match="h2: its boot ended"),
        debian_hosts(["h1", "h2"], tmp_path, migration_addresses=True),
    ):
        pytest.fail("it is up, without anything to start")
    assert traces() == before


def without_init(disk: Disk, address: str) -> None:
    if disk.folder.name == "h2":
        disk.put("usr/lib/systemd/systemd", "not a program", mode=0o644)


def test_disks_go_and_what_was_said_stays(tmp_path: Path) -> None:
    with debian_hosts(["h1"], tmp_path) as hosts:
        assert hosts.inventory.parent == tmp_path
        assert (tmp_path / "h1/disk").exists()
    kept = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert kept == {"inventory.yml", "key", "key.pub", "known_hosts", "console.log"}
    with pytest.raises(ValueError, match="not empty"), debian_hosts(["h1"], tmp_path):
        pytest.fail("made where there is something")


def test_ctrl_c_leaves_nothing(before: Traces) -> None:
    with command() as process:
        processes = tree_of(process.pid)
        assert traces()["folders"] != before["folders"]
        process.send_signal(signal.SIGINT)
        assert process.wait(GONE_WITHIN_S) == 0
    assert living(processes) == []
    assert traces() == before


def test_a_maker_that_is_killed_leaves_nothing(before: Traces) -> None:
    with command() as process:
        processes = tree_of(process.pid)
        process.kill()
        wait_until(lambda: not living(processes), "all processes gone", GONE_WITHIN_S)
        wait_until(lambda: traces() == before, "all traces gone", GONE_WITHIN_S)


def test_a_rack_that_is_killed_takes_the_hosts_with_it(before: Traces) -> None:
    """What it cannot take back any more, the next session does."""
    with command() as process:
        processes = tree_of(process.pid)
        os.kill(rack_of(process), signal.SIGKILL)
        process.kill()
        wait_until(lambda: not living(processes), "all processes gone", GONE_WITHIN_S)
    left = traces()
    for what in ("interfaces", "rules", "control groups", "folders"):
        assert left[what] != before[what], "nobody was left to take it back"
    assert left["mounts"] == before["mounts"]
    with debian_hosts(["h1"]) as hosts:
        assert network.leftovers() == []
        assert hosts.folder.is_dir()
        assert len(traces()["folders"]) == len(before["folders"]) + 1
        assert len(traces()["rules"]) == len(before["rules"]) + 1
    assert traces() == before


def test_two_sessions_at_once(tmp_path: Path, before: Traces) -> None:
    with debian_hosts(["h1"], tmp_path / "b") as b:
        with debian_hosts(["h1"], tmp_path / "a") as a:
            assert a.rack.number != b.rack.number
            assert a["h1"].address != b["h1"].address
            assert a["h1"].ssh("hostname").stdout == b["h1"].ssh("hostname").stdout == "h1\n"
        # The way to package mirrors is open still: the other session did not close it.
        done = b["h1"].run("apt-get update --error-on=any", within_s=120)
        assert done.returncode == 0, done.stderr
    assert traces() == before


def test_a_tree_that_was_not_finished_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tree.pristine() as made:
        monkeypatch.setenv(tree.VARIABLE, str(tmp_path))
        unfinished = tmp_path / f"{made.name}.new"
        unfinished.mkdir()
        recent, old, foreign = (
            tmp_path / name for name in ("bookworm-0123456789ab", "bookworm-ba9876543210", "else")
        )
        for path in (recent, old, foreign):
            path.mkdir()
            path.with_suffix(".lock").touch()
        os.utime(old.with_suffix(".lock"), (0, 0))
        asked: list[tuple[str, ...]] = []

        def copy_instead(*command: str, within_s: float = 30) -> str:
            asked.append(command)
            if command[0] == "debootstrap":
                assert not unfinished.exists()
                shutil.copytree(made / "etc", unfinished / "etc", symlinks=True)
                raise HostsError("debootstrap: the mirror is gone")
            return ""

        monkeypatch.setattr(tree, "run", copy_instead)
        for _ in range(2):
            with pytest.raises(HostsError, match="the mirror is gone"), tree.pristine():
                pytest.fail("a tree of which the half is missing")
            assert not (tmp_path / made.name).exists()
        assert [command[0] for command in asked] == ["debootstrap"] * 2
        assert [path.exists() for path in (recent, old, foreign)] == [True, False, True]


def test_a_tree_with_more_packages_is_one_of_its_own() -> None:
    with tree.pristine() as plain, tree.pristine(["bc"]) as more:
        assert plain != more
        assert not (plain / "usr/bin/bc").exists()
        assert (more / "usr/bin/bc").exists()
        made = more.stat().st_ino
        with tree.pristine(["bc"]) as again:
            assert (again, again.stat().st_ino) == (more, made)
