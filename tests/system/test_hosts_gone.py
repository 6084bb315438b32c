"""Whatever ends a session of hosts, nothing of it is left: at once, or when the next one begins."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labctl.node import procfs
from tests.hosts import Hosts, HostsError, cgroups, debian_hosts, network, numbers, sources, tree
from tests.system.conftest import interfaces
from tests.system.processes import wait_until

pytestmark = [pytest.mark.hosts, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

PROJECT = Path(__file__).parents[2]
UP_WITHIN_S, GONE_WITHIN_S = 240.0, 30.0
ELSEWHERE = (
    "/run/systemd/nspawn",
    "/run/systemd/machines",
    "/var/lib/machines",
    tempfile.gettempdir(),
)


def traces() -> dict[str, object]:
    """What of this machine a session of hosts changes while it lives. Other sessions may live meanwhile."""
    settings = Path("/proc/sys/net/ipv4/conf").glob("*/forwarding")
    return {
        "interfaces": {name for name in interfaces() if name.startswith("lth")},
        "mounts": {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()},
        "rules": {line for line in rules().splitlines() if "labctl" in line},
        "forwarding": {path.parent.name: path.read_text() for path in settings if "lth" not in str(path)},
        "ip_forward": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        "control groups": {p for parent in cgroups.parents() for p in parent.glob("labctl-hosts-*")},
        "numbers": numbers.claimed(),
        "folders": {path for folder in map(Path, ELSEWHERE) if folder.is_dir() for path in folder.iterdir()},
    }  # fmt: skip


def rules() -> str:
    return subprocess.run(
        ["nft", "list", "ruleset"], capture_output=True, text=True, check=True, timeout=10
    ).stdout


def tree_of(pid: int) -> dict[int, int]:
    """A process and all that come from it, each with its start time."""
    found = {pid: procfs.start_time(pid)}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found |= tree_of(int(child))
    return found


def living(processes: dict[int, int]) -> list[int]:
    return [pid for pid, started in processes.items() if procfs.start_time(pid) == started]


@pytest.fixture(autouse=True)
def before() -> Iterator[dict[str, object]]:
    """What there was; and nothing else may be there at the end."""
    with debian_hosts_cleared():
        found = traces()
    yield found
    assert traces() == found


@contextmanager
def debian_hosts_cleared() -> Iterator[None]:
    """Without what an earlier session left."""
    for number in network.leftovers():
        network.remove(number)
    yield


@contextmanager
def command(folder: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """`python -m tests.hosts` with two hosts that are up."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.hosts", "2", *options],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
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
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_an_end_leaves_nothing(tmp_path: Path, before: dict[str, object]) -> None:
    with debian_hosts(["h1", "h2"], tmp_path) as hosts:
        during = traces()
        assert all(
            during[what] != before[what] for what in ("interfaces", "rules", "control groups")
        )
        processes = tree_of(hosts.rack.pid)
        assert len(processes) > 10
        uplink = network._uplink()
        assert during["forwarding"][uplink] == "1\n"  # type: ignore[index]
    assert living(processes) == []
    assert traces() == before


def test_hosts_that_do_not_come_up_leave_nothing(tmp_path: Path, before: dict[str, object]) -> None:
    (tmp_path / "h2").write_text("in the way of a disk")
    with pytest.raises((HostsError, OSError)), debian_hosts(["h1", "h2"], tmp_path):
        pytest.fail("up, with a file where a folder must be")
    assert traces() == before


def test_ctrl_c_leaves_nothing(tmp_path: Path, before: dict[str, object]) -> None:
    with command(tmp_path) as process:
        processes = tree_of(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(GONE_WITHIN_S) == 0
    assert living(processes) == []
    assert traces() == before
    assert list(tmp_path.iterdir()) == []


def test_a_maker_that_is_killed_leaves_nothing(tmp_path: Path, before: dict[str, object]) -> None:
    with command(tmp_path) as process:
        processes = tree_of(process.pid)
        process.kill()
        wait_until(lambda: not living(processes), "all processes gone", GONE_WITHIN_S)
        wait_until(lambda: traces() == before, "all traces gone", GONE_WITHIN_S)


def test_a_rack_that_is_killed_takes_the_hosts_with_it(tmp_path: Path) -> None:
    """What it cannot take back any more, the next session does."""
    with command(tmp_path) as process:
        processes = tree_of(process.pid)
        rack = rack_of(process)
        os.kill(rack, signal.SIGKILL)
        process.kill()
        wait_until(lambda: not living(processes), "all processes gone", GONE_WITHIN_S)
    left = network.leftovers()
    assert len(left) == 1, "a killed rack has nobody to take its bridges back"
    assert left[0].table in rules()
    with debian_hosts(["h1"], tmp_path / "next"):
        assert left[0] not in network.leftovers()
        assert rules().count("table ip labctl_hosts") == 1


def test_two_sessions_at_once(tmp_path: Path, before: dict[str, object]) -> None:
    with debian_hosts(["h1"], tmp_path / "b") as b:
        with debian_hosts(["h1"], tmp_path / "a") as a:
            assert a.rack.number != b.rack.number
            assert a["h1"].address != b["h1"].address
            assert a["h1"].ssh("hostname").stdout == b["h1"].ssh("hostname").stdout == "h1\n"
        mirror(b)
    assert traces() == before


def mirror(hosts: Hosts) -> None:
    """The way to package mirrors is open still: the other session did not close it."""
    done = hosts["h1"].run("apt-get update --error-on=any", within_s=120)
    assert done.returncode == 0, done.stderr


def test_a_tree_that_was_not_finished_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tree.pristine() as made:
        monkeypatch.setenv(tree.VARIABLE, str(tmp_path))
        unfinished = tmp_path / f"{made.name}.new"
        unfinished.mkdir()
        of_another_recipe = tmp_path / f"{sources.SUITE}-0123456789ab"
        of_another_recipe.mkdir()
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
        assert not of_another_recipe.exists()
