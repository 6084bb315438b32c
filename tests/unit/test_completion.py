"""Completion as a user gets it: a real bash that sources what labctl prints, and presses Tab in effect."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from labctl.campaign import RULES
from labctl.doctor import CHECKS
from labctl.lab.inventory import inventories
from tests.unit.test_imports import HEAVY
from tests.unit.test_stored_versions import EXAMPLES

BASH = shutil.which("bash")
COMPLETE = r"""
eval "$SCRIPT"
complete -p labctl >&2
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_labctl_completion labctl
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with campaigns and a run, and a `labctl` in PATH that is this one."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "labctl"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m labctl "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "other.yml").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "campaigns").mkdir()
    (tmp_path / "campaigns" / "aids.yaml").touch()
    shutil.copytree(EXAMPLES[0], tmp_path / "runs" / EXAMPLES[0].name)
    shutil.copytree(EXAMPLES[0], tmp_path / "elsewhere" / "other-20260102T000000Z")
    return tmp_path


def environment(here: Path) -> dict[str, str]:
    path = f"{here / 'bin'}:{os.environ['PATH']}"
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PATH": path, "PYTHONPATH": root, "HOME": str(here)}


SCRIPTS: dict[str, str] = {}


def script(here: Path, shell: str) -> str:
    """What a shell is to source, printed by labctl; asked once."""
    if shell not in SCRIPTS:
        SCRIPTS[shell] = subprocess.run(
            ["labctl"],
            cwd=here,
            env=environment(here) | {"_LABCTL_COMPLETE": f"source_{shell}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
    return SCRIPTS[shell]


def completed(here: Path, *typed: str) -> list[str]:
    """What bash offers for the last word."""
    if BASH is None:
        pytest.skip("needs bash")
    done = subprocess.run(
        [BASH, "--norc", "--noprofile", "-c", COMPLETE, "bash", "labctl", *typed],
        cwd=here,
        env=environment(here) | {"SCRIPT": script(here, "bash")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "-o default" in done.stderr, "where nothing is offered, bash offers files"
    return [line for line in done.stdout.splitlines() if line]


def test_verbs_and_options(here: Path) -> None:
    assert {"init", "plan", "run", "explain", "schema", "lab"} <= set(completed(here, ""))
    assert completed(here, "exp") == ["export", "explain"]
    assert completed(here, "lab", "prov") == ["provision"]
    assert "--dry-run" in completed(here, "run", "--")


def test_campaign_files(here: Path) -> None:
    assert completed(here, "plan", "") == ["campaigns/aids.yaml", "mine.yaml", "other.yml"]
    assert completed(here, "run", "mi") == ["mine.yaml"]
    assert completed(here, "run", "campaigns/") == ["campaigns/aids.yaml"]
    assert completed(here, "run", "nowhere/") == []


def test_runs(here: Path) -> None:
    assert completed(here, "show", "") == ["latest", EXAMPLES[0].name]
    assert completed(here, "report", "exam") == [EXAMPLES[0].name]
    assert completed(here, "results", "--out", "elsewhere", "o") == ["other-20260102T000000Z"]
    assert completed(here, "run", "--resume", "") == ["latest", EXAMPLES[0].name]


def test_rules_checks_and_labs(here: Path) -> None:
    known = {*(rule.id for rule in RULES), *(check.id for check in CHECKS)}
    assert set(completed(here, "explain", "")) == known
    assert completed(here, "explain", "preempt") == ["preempt-needs-postcopy"]
    # Whoever works in this checkout may have made others.
    assert completed(here, "lab", "check", "") == sorted(inventories())
    assert {"example", "local"} <= inventories().keys()
    assert completed(here, "plan", "mine.yaml", "--lab", "lo") == ["local"]


def test_it_loads_nothing_that_takes_long(here: Path) -> None:
    """A Tab is answered before one wonders: what is slow to load is not."""
    asked = {"_LABCTL_COMPLETE": "complete_bash", "COMP_WORDS": "labctl show ", "COMP_CWORD": "2"}
    done = subprocess.run(
        ["labctl"],
        cwd=here,
        env=environment(here) | asked | {"PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "latest" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "labctl.cli.app" in loaded
    assert HEAVY.isdisjoint(loaded)


@pytest.mark.parametrize(
    ("shell", "says"), [("zsh", "#compdef labctl"), ("fish", "complete --command labctl")]
)
def test_other_shells_have_a_script(here: Path, shell: str, says: str) -> None:
    assert re.search(rf"^{says}", script(here, shell), re.MULTILINE)
