"""Virtual labs from outside: what is played when, and what is refused. The playbooks themselves are seen in system tests."""

import fcntl
import json
import os
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from labctl import virtual
from labctl.errors import InputError, LabHeld, ProvisionError
from labctl.lab.inventory import find_inventory
from labctl.node import host, procfs
from labctl.virtual import Wanted, bring_up, clear, take_down

WANTED = Wanted(suite="trixie", hosts=4, memory_mib=2048, packages=("strace",))


@dataclass
class Stage:
    """Where playbooks are noted instead of played; the playbook that makes a lab makes its files."""

    root: Path
    played: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    breaks: str = ""

    def play(self, name: str, inventory: Path, options: list[str], *_: object) -> None:
        assert inventory.name == "local"
        variables = json.loads(Path(options[1].removeprefix("@")).read_text())
        self.played.append((name, variables))
        if self.breaks == name:
            raise ProvisionError("it broke")
        folder, live = (Path(variables[f"virtual_hosts_{what}"]) for what in ("folder", "state"))
        inventory = Path(variables["virtual_hosts_inventory"])
        if name == virtual.UP:
            for each in (folder, live, inventory):
                each.mkdir(parents=True, exist_ok=True)
            me = {"pid": os.getpid(), "start_time": procfs.start_time(os.getpid()), "what": "agent"}
            (live / "keeper.json").write_text(json.dumps({"pids": [me], "ended": {}}))
        elif "virtual_hosts_lab" in variables:
            for each in (folder, live, inventory):
                for path in each.glob("*"):
                    path.unlink()
                each.rmdir()

    def provision(self, name: str, **_: object) -> None:
        self.played.append(("site.yml", {"lab": name}))
        if self.breaks == "site.yml":
            raise ProvisionError("it broke")

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.played]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(host, "STATE_ROOT", tmp_path / "run")
    monkeypatch.setattr(virtual, "made_inventories", lambda: tmp_path / "inventory")
    monkeypatch.setattr(virtual, "play", made.play)
    monkeypatch.setattr(virtual, "provision", made.provision)
    return made


def test_a_lab_is_made_provisioned_and_left_alone(stage: Stage) -> None:
    assert bring_up("mine", WANTED)
    assert stage.names == ["virtual_lab.yml", "site.yml"]
    told = stage.played[0][1]
    assert told["virtual_image_suite"] == "trixie"
    assert told["virtual_hosts_count"] == 4
    assert told["virtual_image_more_packages"] == ["strace"]
    assert told["virtual_image_owner"].startswith(f"{os.getpid()}:")
    assert not bring_up("mine", WANTED)
    assert len(stage.played) == 2


def test_a_lab_whose_provisioning_broke_is_provisioned_by_the_next_up(stage: Stage) -> None:
    stage.breaks = "site.yml"
    with pytest.raises(ProvisionError):
        bring_up("mine", WANTED)
    stage.breaks = ""
    assert bring_up("mine", WANTED)
    assert stage.names == ["virtual_lab.yml", "site.yml"] * 2


def test_other_wishes_are_played_again(stage: Stage) -> None:
    bring_up("mine", WANTED)
    bring_up("mine", replace(WANTED, hosts=2))
    assert stage.names.count("virtual_lab.yml") == 2


@pytest.mark.parametrize("name", ["", "Mine", "my lab", "../x", "1x", "a" * 32])
def test_a_name_that_would_be_no_file_name_is_refused(stage: Stage, name: str) -> None:
    with pytest.raises(InputError, match="cannot be a lab's name"):
        bring_up(name, WANTED)
    assert stage.played == []


def test_only_what_up_has_made_is_brought_up_again_or_taken_down(stage: Stage) -> None:
    with pytest.raises(InputError, match="has not made it"):
        bring_up("local", WANTED)
    with pytest.raises(InputError, match="has not made the lab local"):
        take_down("local")
    assert not take_down("nothing")
    assert stage.played == []


def test_down_takes_down_what_is_whole_and_what_is_half(stage: Stage) -> None:
    bring_up("mine", WANTED)
    assert take_down("mine")
    assert not take_down("mine")
    stage.breaks = "site.yml"
    with pytest.raises(ProvisionError):
        bring_up("mine", WANTED)
    assert take_down("mine")
    assert stage.names.count("virtual_lab_down.yml") == 2


def test_two_at_once_are_one_too_many(stage: Stage) -> None:
    lock = stage.root / "state" / "labctl" / "labs" / "mine.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LabHeld) as refused:
            bring_up("mine", WANTED)
    assert refused.value.exit_code == 3
    assert stage.played == []


def test_clean_leaves_a_whole_lab_alone_and_takes_a_half_one(stage: Stage) -> None:
    bring_up("mine", WANTED)
    assert clear("mine") == []
    keeper = stage.root / "run" / "lab-mine" / "keeper.json"
    keeper.write_text(json.dumps({"pids": [{"pid": os.getpid(), "start_time": 1}], "ended": {}}))
    assert clear("mine") == ["the lab mine, half made"]
    assert clear("mine") == []


def test_clean_removes_images_that_were_left_half_made(stage: Stage) -> None:
    left = stage.root / "cache" / "labctl" / "images" / "bookworm-0.new"
    left.mkdir(parents=True)
    asked: list[str] = []

    def password() -> None:
        asked.append("once")

    clear("mine", password=password)
    ((name, told),) = stage.played
    assert name == "virtual_lab_down.yml"
    assert "virtual_hosts_lab" not in told
    assert asked == ["once"]


def test_folders_of_playbooks_whose_labctl_has_died_are_removed(stage: Stage) -> None:
    dead = stage.root / f"labctl-ansible-{os.getpid()}.1-abcd"
    lives = stage.root / f"labctl-ansible-{os.getpid()}.{procfs.start_time(os.getpid())}-abcd"
    others = stage.root / "labctl-ansible-of-somebody"
    for folder in (dead, lives, others):
        (folder / "home").mkdir(parents=True)
    assert clear("mine") == [str(dead)]
    assert (dead.exists(), lives.exists(), others.exists()) == (False, True, True)


def test_a_lab_that_is_not_there_says_how_it_would_be_made() -> None:
    with pytest.raises(InputError) as refused:
        find_inventory("nine")
    assert "labctl lab up nine" in str(refused.value)
