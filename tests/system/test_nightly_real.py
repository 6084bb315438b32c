"""The scripted campaign on a real, small migration, twice, as cron would start it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.test_cli_run import TINY, environment

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.root,
    pytest.mark.qemu,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("state_root"),
]


def test_two_nights(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY.replace("[precopy, postcopy]", "[precopy]"))
    said = [
        subprocess.run(
            [sys.executable, ROOT / "campaigns" / "nightly.py", "tiny.yaml"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=140,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    assert [night.returncode for night in said] == [0, 0], [night.stderr for night in said]
    assert "its first run" in said[0].stdout
    assert "nothing became worse since tiny-" in said[1].stdout
