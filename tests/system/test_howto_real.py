"""The algorithm of the how-to migrates a machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labctl.results.run import load_run
from tests.howto import apply_to
from tests.system.conftest import own_state_root

pytestmark = [pytest.mark.root, pytest.mark.qemu, pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_new_algorithm_stops_the_machine_when_a_pass_makes_no_progress(tmp_path: Path) -> None:
    apply_to(tmp_path)
    with own_state_root():
        for _ in range(6):  # a busy machine may not reach the load
            done = subprocess.run(
                [sys.executable, "-m", "labctl", "run", "campaign.yaml"],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(tmp_path)},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode in (0, 1), done.stdout + done.stderr
            (trial,) = load_run(tmp_path / "runs" / "latest").trials()
            if trial.record.outcome != "invalid_load":
                break
    assert done.returncode == 0, done.stdout + done.stderr
    assert (trial.record.outcome, trial.record.reason) == ("completed", None)
    assert trial.record.schedule["result"]["fired"] == ["pause"]
