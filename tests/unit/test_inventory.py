"""From a lab's name or path to its hosts, and what is said where that fails."""

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from labctl.data import data_path
from labctl.errors import InputError, LabError
from labctl.lab import inventory
from labctl.lab.inventory import LabSpec, find_inventory, read_lab

TWO_HOSTS = """
[hypervisors]
north ansible_host=192.0.2.10 labctl_qemu=/opt/qemu/bin/qemu-system-x86_64
south ansible_host=192.0.2.11
[observers]
north
"""


def test_the_embedded_lab_is_found_by_its_name() -> None:
    spec = read_lab("local")
    assert (spec.name, spec.embedded) == ("local", True)
    assert len(spec.hypervisors) == 1
    assert spec.path == data_path("inventory") / "local"


def test_a_path_is_a_lab_and_its_variables_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "rack.ini"
    path.write_text(TWO_HOSTS)
    spec = read_lab(str(path))
    assert (spec.name, spec.hypervisors, spec.embedded) == ("rack", ("north", "south"), False)
    assert spec.variables["north"]["labctl_qemu"] == "/opt/qemu/bin/qemu-system-x86_64"


def test_a_folder_is_a_lab_too(tmp_path: Path) -> None:
    folder = tmp_path / "rack"
    folder.mkdir()
    (folder / "hosts.ini").write_text(TWO_HOSTS)
    assert read_lab(str(folder)).name == "rack"


def test_a_group_may_be_made_of_groups(tmp_path: Path) -> None:
    path = tmp_path / "rack.ini"
    path.write_text("[east]\na\nb\n[west]\nb\nc\n[hypervisors:children]\neast\nwest\n")
    assert read_lab(str(path)).hypervisors == ("a", "b", "c")


def test_a_script_is_a_lab_too(tmp_path: Path) -> None:
    """Anything that `ansible-inventory --list` can print: Vagrant, a cloud."""
    listing = {"hypervisors": {"hosts": ["one"]}, "_meta": {"hostvars": {"one": {"x": 1}}}}
    script = tmp_path / "cloud.py"
    script.write_text(f"#!{sys.executable}\nprint({json.dumps(json.dumps(listing))})\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    spec = read_lab(str(script))
    assert spec.hypervisors == ("one",)
    assert spec.variables["one"]["x"] == 1


@pytest.mark.parametrize(
    ("hosts", "variables", "embedded"),
    [
        (("a",), {"a": {"ansible_connection": "local"}}, True),
        (("a",), {"a": {"ansible_connection": "ssh"}}, False),
        (("a",), {}, False),
        (("a", "b"), {"a": {"ansible_connection": "local"}}, False),
    ],
)
def test_what_makes_a_lab_the_embedded_one(
    hosts: tuple[str, ...], variables: dict[str, dict[str, Any]], embedded: bool
) -> None:
    assert LabSpec("x", Path("x"), hosts, variables).embedded is embedded


def test_a_lab_is_as_patient_as_its_slowest_host_needs() -> None:
    said: dict[str, dict[str, Any]] = {"a": {"labctl_patience": 2}, "o": {"labctl_patience": 5.5}}
    assert LabSpec("x", Path("x"), ("a", "b"), {}).patience == 1
    assert LabSpec("x", Path("x"), ("a", "b"), said).patience == 2
    assert LabSpec("x", Path("x"), ("a", "b"), said, ("o",)).patience == 5.5


def test_a_lab_is_found_again_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_lab("local").anywhere == "local"
    monkeypatch.chdir(tmp_path)
    Path("hosts.yml").write_text("hypervisors: {hosts: {a: , b: }}\n")
    assert read_lab("./hosts.yml").anywhere == str(tmp_path / "hosts.yml")


def test_what_is_said_of_this_machine_is_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(
        "hypervisors: {hosts: {here: {ansible_connection: local, labctl_patience: much}}}\n"
    )
    with pytest.raises(InputError, match="labctl_patience cannot be 'much'"):
        read_lab(str(path))


def test_a_name_comes_before_a_folder_of_that_name_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "local").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_inventory("local") == data_path("inventory") / "local"
    assert find_inventory("./local") == Path("./local")


def test_a_wrong_name_gets_the_nearest_one() -> None:
    with pytest.raises(InputError, match="there is no lab 'locl'") as raised:
        find_inventory("locl")
    assert raised.value.mend == "did you mean local?"
    assert raised.value.exit_code == 2


def test_a_name_like_nothing_gets_all_of_them() -> None:
    with pytest.raises(InputError) as raised:
        find_inventory("zzzzzz")
    assert "local" in (raised.value.mend or "")


def test_an_inventory_without_hypervisors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rack.ini"
    path.write_text("[observers]\nnorth\n")
    with pytest.raises(InputError, match="no group `hypervisors`") as raised:
        read_lab(str(path))
    assert raised.value.place == str(path)
    assert raised.value.mend


def test_what_ansible_cannot_read_is_refused_in_its_words(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
    path.chmod(0o755)
    with pytest.raises(InputError, match="not an inventory") as raised:
        read_lab(str(path))
    assert "out of order" in raised.value.fault


def run_as(monkeypatch: pytest.MonkeyPatch, done: Any) -> None:
    def run(*_arguments: Any, **_named: Any) -> Any:
        if isinstance(done, Exception):
            raise done
        return done

    monkeypatch.setattr(inventory.subprocess, "run", run)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("done", "kind", "said"),
    [
        (FileNotFoundError(2, "no"), LabError, "ansible-inventory is not installed"),
        (subprocess.TimeoutExpired("x", 60), LabError, "did not answer"),
        (
            subprocess.CompletedProcess("x", 1, "", "bad YAML"),
            InputError,
            "not an inventory: bad YAML",
        ),
        (subprocess.CompletedProcess("x", 0, "hello", ""), InputError, "printed no JSON"),
    ],
)
def test_each_fault_of_asking_ansible_is_said(
    monkeypatch: pytest.MonkeyPatch, done: Any, kind: type[Exception], said: str
) -> None:
    run_as(monkeypatch, done)
    with pytest.raises(kind, match=said):
        read_lab("local")
