"""Playbooks, roles and the example inventory hang together: what Ansible and labctl read of them without a host."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from labctl.data import data_path
from labctl.lab import read_lab
from labctl.lab.pairing import PairSpec

PLAYBOOKS = data_path("playbooks")
ROLES = sorted(path for path in (PLAYBOOKS / "roles").iterdir() if path.is_dir())
EXAMPLE = data_path("inventory/example")


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def test_the_example_is_a_lab_of_four_pairs() -> None:
    spec = read_lab("example")
    assert not spec.embedded
    assert spec.pairs == tuple(
        PairSpec(name, f"n{first}", f"n{first + 1}", "watch")
        for name, first in (("east", 1), ("west", 3), ("north", 5), ("south", 7))
    )
    assert spec.observers == ("watch",)
    assert spec.of("n1")["labctl_migration_interface"] == "bond0"
    assert spec.of("n5")["rdma_provider"] == "hca"
    assert "metrics" in spec.variables


def test_every_variable_of_the_example_is_one_that_a_role_or_labctl_reads() -> None:
    known = {name for role in ROLES for name in options(role)}
    known |= {"monitoring_alertmanager", "monitoring_start"}  # of several roles at once
    named = {
        name
        for host in read_lab("example").variables.values()
        for name in host
        if not name.startswith(("ansible_", "labctl_"))
    }
    assert named <= known


@pytest.mark.timeout(180)
def test_ansible_takes_every_playbook(tmp_path: Path) -> None:
    books = sorted(map(str, PLAYBOOKS.glob("*.yml")))
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "--syntax-check",
            "-i",
            EXAMPLE,
            *books,
        ],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env={**os.environ, "ANSIBLE_HOME": str(tmp_path), "ANSIBLE_NOCOLOR": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert {"site.yml", "local.yml", "facts.yml", "unprovision.yml"} <= {
        Path(b).name for b in books
    }


def options(role: Path, entry: str = "main") -> dict[str, Any]:
    """What a role says it takes."""
    specs = load(role / "meta" / "argument_specs.yml")["argument_specs"]
    return dict(specs[entry].get("options", {}))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_roles_readme_defaults_and_contract_name_the_same(role: Path) -> None:
    """The README is the contract: a variable that one of them has, all have. Each default has its comment."""
    text = (role / "defaults" / "main.yml").read_text()
    defaults, asked = load(role / "defaults" / "main.yml"), options(role)
    assert set(defaults) <= set(asked)
    assert {n for n, o in asked.items() if "default" in o} <= set(defaults)
    assert all(name.startswith(f"{role.name}_") for name in asked)
    for name, option in asked.items():
        if "default" in option:
            assert option["default"] == defaults[name], name
    readme = (role / "README.md").read_text()
    listed = set(re.findall(rf"`({role.name}_\w+)`", readme))
    short = {f"{role.name}{name}" for name in re.findall(r"`(_\w+)`", readme)}
    assert set(asked) <= listed | short
    for name in defaults:
        above = text[: text.index(f"\n{name}:")].rstrip("\n").splitlines()
        block = [line for line in above[-6:] if line]
        assert any(line.startswith("#") for line in block), f"{name} has no comment"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_role_has_what_every_role_has(role: Path) -> None:
    assert (role / "meta" / "main.yml").exists()
    first = load(role / "tasks" / "main.yml")[0]
    if (role / "tasks" / "validate.yml").exists():
        assert first["ansible.builtin.import_tasks"] == "validate.yml"
    tasks = load(PLAYBOOKS / "unprovision.yml")[0]["tasks"]
    (unprovision,) = [task["loop"] for task in tasks if "loop" in task]
    # What `qemu` takes back with its own; what only helps the others; what changes nothing; what makes hosts, on this machine.
    others = {"qemu_beside", "packages", "settings", "daemon", "host_facts"}
    makers = {"virtual_image": "clear.yml", "virtual_hosts": "down.yml"}
    ways_back = {
        "packages": "remove.yml",
        "settings": "restore.yml",
        "host_facts": "main.yml",
    } | makers
    assert (role / "tasks" / ways_back.get(role.name, "unprovision.yml")).exists()
    assert role.name in set(unprovision) | others | set(makers)
