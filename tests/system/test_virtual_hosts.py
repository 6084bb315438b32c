"""What keeps a virtual lab's hosts, with programs in the place of QEMU: nothing boots, but namespace, network and ends are real."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labctl.data import data_path
from labctl.node import procfs
from tests.system.processes import wait_until

pytestmark = pytest.mark.root

KEEP = "playbooks/roles/virtual_hosts/files/keep.py"
_WITHIN_S = 30.0
Spec = dict[str, Any]


def keep(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", data_path(KEEP), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
    )


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def spec(tmp_path: Path) -> Iterator[Spec]:
    """Of a lab whose machines only say what they were started with, and wait."""
    folder = tmp_path / "folder"
    folder.mkdir()
    made: Spec = {
        "name": "test",
        "state": str(tmp_path / "run" / "lab-test"),
        "folder": str(folder),
        "image": str(tmp_path / "image"),
        "qemu": program(tmp_path / "qemu", 'echo "$@" >>"$TMPDIR/started"; exec sleep 300'),
        "accelerator": "tcg",
        "authorized_key": "ssh-ed25519 AAAA somebody",
        "hosts": [{"name": name, "memory_mib": 512, "cpus": 1} for name in ("h1", "h2")],
    }
    yield made
    keep("down", made["state"])


def up(spec: Spec) -> dict[str, Any]:
    said = try_up(spec)
    assert said.returncode == 0, said.stderr
    state: dict[str, Any] = json.loads(said.stdout)
    return state


def try_up(spec: Spec) -> subprocess.CompletedProcess[str]:
    path = Path(spec["folder"]) / "spec.json"
    path.write_text(json.dumps(spec))
    return keep("up", path)


def interfaces() -> set[str]:
    """The ways into virtual labs; tests that run beside these make interfaces of other names."""
    return {path.name for path in Path("/sys/class/net").glob("labctl*")}


def alive(state: dict[str, Any]) -> list[str]:
    return [one["what"] for one in state["pids"] if procfs.start_time(one["pid"])]


def test_hosts_come_up_are_left_alone_and_go_without_a_trace(spec: Spec) -> None:
    before = interfaces()
    state = up(spec)
    assert state["changed"]
    assert alive(state) == ["agent", "namespace", "h1", "h2"]
    (made,) = interfaces() - before
    network = made.removeprefix("labctl")
    assert [host["address"] for host in state["hosts"]] == [
        f"198.18.{network}.11",
        f"198.18.{network}.12",
    ]
    assert len({host["host_key"] for host in state["hosts"]}) == 2

    again = up(spec)
    assert not again["changed"]
    assert again["pids"] == state["pids"]

    assert json.loads(keep("down", spec["state"]).stdout) == {"changed": True}
    assert alive(state) == []
    assert interfaces() == before
    assert not Path(spec["state"]).exists()
    assert json.loads(keep("down", spec["state"]).stdout) == {"changed": False}


def test_what_keeps_them_has_nothing_of_who_started_it(
    spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would end with the playbook that started it, whose processes are known by that."""
    monkeypatch.setenv("ANSIBLE_HOME", "/somewhere")
    state = up(spec)
    for one in state["pids"]:
        environment = Path(f"/proc/{one['pid']}/environ").read_text()
        assert "ANSIBLE_HOME" not in environment, one["what"]


def test_two_labs_have_networks_of_their_own(spec: Spec, tmp_path: Path) -> None:
    other = {**spec, "name": "other", "state": str(tmp_path / "run" / "lab-other")}
    try:
        one, two = up(spec), up(other)
        addresses = [host["address"] for state in (one, two) for host in state["hosts"]]
        assert len(set(addresses)) == 4
    finally:
        keep("down", other["state"])


def test_whoever_kills_the_keeper_ends_all_of_it(spec: Spec) -> None:
    before = interfaces()
    state = up(spec)
    os.kill(state["pids"][0]["pid"], signal.SIGKILL)
    wait_until(lambda: alive(state) == [], "all of it ends")
    wait_until(lambda: interfaces() == before, "the way to it is gone")
    assert up(spec)["changed"]


def test_a_machine_that_ends_is_told_and_booted_anew(spec: Spec) -> None:
    state = up(spec)
    h1 = next(one for one in state["pids"] if one["what"] == "h1")
    os.kill(h1["pid"], signal.SIGKILL)
    said = keep("wait", spec["state"], "20")
    assert said.returncode == 1
    assert said.stderr.startswith("h1 ended: ")
    assert up(spec)["changed"]


def test_a_machine_that_cannot_start_is_told_with_its_words(spec: Spec, tmp_path: Path) -> None:
    spec["qemu"] = program(tmp_path / "broken", "echo no such machine >&2; exit 1")
    up(spec)
    said = keep("wait", spec["state"], "20")
    assert said.returncode == 1
    assert "no such machine" in said.stderr


def test_hosts_that_run_are_not_changed_under_somebodys_hands(spec: Spec) -> None:
    state = up(spec)
    spec["hosts"][0]["memory_mib"] = 1024
    said = try_up(spec)
    assert (said.returncode, said.stderr.strip()) == (1, "it runs, with other settings")
    assert alive(state) == ["agent", "namespace", "h1", "h2"]


def test_a_program_that_is_missing_leaves_nothing(spec: Spec) -> None:
    before = interfaces()
    spec["authorized_key"] = None
    spec["hosts"][1]["name"] = "x/y"  # no file of that name can be written
    said = try_up(spec)
    assert said.returncode == 1
    assert interfaces() == before
    assert not Path(spec["state"]).exists()
