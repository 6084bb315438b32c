"""What is packed: the wheel, the locks, the changelog; and that nothing of a machine is in it."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import labctl
from labctl.data import TRAVELLING, data_path

ROOT = Path(__file__).parents[2]
LOCKS = {"requirements.txt": ("build",), "requirements-dev.txt": ("build", "dev", "docs")}

# Runs on the unpacked wheel, far from the checkout: is everything found, and of the same sources?
USE_WHEEL = """
import pathlib, sys
import labctl.data as data
from labctl.guest import build
assert data.data_root().name == "_data", data.data_root()
for name in ("campaigns", "inventory/local/hosts.yml", "playbooks/local.yml"):
    assert data.data_path(name).exists()
assert build.source_id().encode() in build.IMAGE.read_bytes()
"""


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, timeout=30, check=False
    )
    if listing.returncode != 0:
        pytest.skip("needs a git checkout: git ls-files does not answer here")
    return [ROOT / name for name in listing.stdout.decode().split("\0") if name]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_holds_all_that_a_trial_needs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "labctl/guest/build/guest.elf",
        "labctl/node/__main__.py",
        "labctl/_data/inventory/local/hosts.yml",
        "labctl/_data/playbooks/local.yml",
        "labctl/_data/playbooks/unprovision.yml",
        "labctl/_data/playbooks/roles/qemu/tasks/main.yml",
        "labctl/_data/playbooks/roles/packages/files/unneeded.sh",
        "labctl/_data/playbooks/roles/settings/library/host_settings.py",
        # A link to the agent's own, in a checkout.
        "labctl/_data/playbooks/roles/host_facts/module_utils/labctl_node/describe/__init__.py",
        "labctl/_data/inventory/example/hosts.yml",
        "labctl/_data/campaigns/quickstart.yaml",
        "labctl/py.typed",
    } <= names
    assert not [n for n in names if "__pycache__" in n or n.startswith(("tests/", "runs/"))]


def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    used = subprocess.run(
        [sys.executable, "-P", "-c", USE_WHEEL],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert used.returncode == 0, used.stderr


def test_the_guest_holds_no_path_of_this_machine(wheel: Path) -> None:
    guest = zipfile.ZipFile(wheel).read("labctl/guest/build/guest.elf")
    assert str(ROOT).encode() not in guest


def test_a_missing_compiler_ends_the_build_with_the_mend(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert built.returncode != 0
    assert "gcc" in built.stderr + built.stdout
    assert "Traceback" not in built.stderr + built.stdout
    assert not list(tmp_path.glob("*.whl"))


def test_data_is_looked_up_in_the_checkout_first() -> None:
    assert data_path("playbooks/local.yml") == ROOT / "playbooks" / "local.yml"
    assert {"campaigns", "inventory", "playbooks"} <= set(TRAVELLING)
    with pytest.raises(ValueError, match="not under one of"):
        data_path("labctl/cli")


def test_the_changelogs_newest_entry_is_this_version() -> None:
    entries = re.findall(r"^## \[([^]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert next(e for e in entries if e != "Unreleased") == project()["project"]["version"]
    assert labctl.__version__ == project()["project"]["version"]


def read_lock(name: str) -> dict[str, list[tuple[Requirement, int]]]:
    """Locked name -> its pins (one per environment), each with the number of its hashes."""
    text = re.sub(r"^\s*#.*\n?", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    pins: dict[str, list[tuple[Requirement, int]]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            spec, *hashes = line.split("--hash=sha256:")
            requirement = Requirement(spec)
            pins.setdefault(canonicalize_name(requirement.name), []).append(
                (requirement, len(hashes))
            )
    return pins


@pytest.mark.parametrize("lock", sorted(LOCKS))
def test_lock_and_project_agree(lock: str) -> None:
    """Each dependency is locked to versions that the project allows: else `make lock`."""
    pins = read_lock(lock)
    asked = list(project()["project"]["dependencies"])
    for group in LOCKS[lock]:
        asked += project()["dependency-groups"][group]
    for text in asked:
        wanted = Requirement(text)
        locked = pins.get(canonicalize_name(wanted.name))
        assert locked, f"{wanted.name} is not in {lock}: make lock"
        for pin, _ in locked:
            (version,) = [s.version for s in pin.specifier]
            assert wanted.specifier.contains(version), f"{pin} does not meet {wanted}: make lock"


@pytest.mark.parametrize("lock", sorted(LOCKS))
def test_locks_hold_versions_and_hashes_and_nothing_else(lock: str) -> None:
    for locked in read_lock(lock).values():
        for pin, hashes in locked:
            assert [s.operator for s in pin.specifier] == ["=="], pin
            assert hashes > 0, f"{pin} has no hash"
    text = (ROOT / lock).read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host|@ ", text)


def test_both_locks_lock_the_same() -> None:
    run, dev = read_lock("requirements.txt"), read_lock("requirements-dev.txt")
    for name, pins in run.items():
        assert {str(p.specifier) for p, _ in dev[name]} == {str(p.specifier) for p, _ in pins}


def test_no_secret_and_no_path_of_this_machine_is_tracked() -> None:
    secret = re.compile(
        rb"-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}"
    )
    here = str(ROOT).encode() + b"/"
    for path in tracked():
        if not path.is_file():  # removed, and not committed yet
            continue
        content = path.read_bytes()
        assert not secret.search(content), path
        assert here not in content, path
