"""What the how-to on new algorithms says works, as far as that needs no QEMU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.howto import apply_to, blocks


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    apply_to(tmp_path)
    return tmp_path


def python(copy: Path, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, *args],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_names_every_file_it_changes() -> None:
    assert [name for name, _ in blocks()] == [
        "labctl/campaign/specs.py",
        "labctl/campaign/asked.py",
        "labctl/migration/algorithms.py",
        "labctl/migration/algorithms.py",
        "tests/golden/cases/patient.yaml",
        "campaign.yaml",
    ]


def test_the_new_algorithm_is_one_of_them_all(copy: Path) -> None:
    assert "changed: patient.yaml" in python(copy, "-m", "tests.golden")
    case = (copy / "tests" / "golden" / "cases" / "patient.yaml").read_text()
    schedule = json.loads(case.partition("---\n")[2])
    assert [rule["name"] for rule in schedule["source"]["rules"]] == ["pause", "limit", "resume"]
    python(copy, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "tests/unit/test_golden_schedules.py")  # fmt: skip
    assert "1 trial in 1 block" in python(
        copy, "-m", "labctl", "plan", "--offline", "campaign.yaml"
    )
