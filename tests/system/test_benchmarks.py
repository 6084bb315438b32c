"""One row of the benchmarks, measured for real: the command, its page, and nothing left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import total_time, wire
from benchmarks.lab import Trials
from tests.system.bench import campaign

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.root, pytest.mark.qemu, pytest.mark.slow]


def test_a_claim_is_measured_by_its_command(state_root: Path, tmp_path: Path) -> None:
    """`start`: it opens the lab for the facts of the machine, and measures what needs none."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "start", "--out", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "LABCTL_STATE_ROOT": str(state_root)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    # A busy machine may be too slow for the limit: that is told, and is no fault of the command.
    assert done.returncode in (0, 1), done.stderr
    stored = json.loads((tmp_path / "benchmarks.json").read_text())["claims"]["start"]
    assert stored["error"] is None
    wall, _cpu = stored["rows"]
    assert 0.01 < wall["value"] < 5
    assert (done.returncode == 0) is (wall["value"] <= wall["limit"]["most"])
    page = (tmp_path / "benchmarks.md").read_text()
    assert "`python -m benchmarks start`" in page
    assert "QEMU: " in page


def test_the_count_and_the_bare_script_migrate_what_a_trial_does(state_root: Path) -> None:
    """One trial with both counts beside it, then the same machine by the bare script. The guest does not write: what
    is sent, then, is its memory, once, however slow the machine is."""
    with Trials(campaign(algorithm="precopy")) as trials:
        (planned,) = trials.plan.trials
        counted = wire.count_trial(trials, planned)
        assert counted is not None
        ran, first, second = counted
        assert first == second
        assert ran.figure("wire_bytes") == pytest.approx(first, rel=1e-3)
        said = total_time.migrate_bare(trials, planned, ran)
    assert said["status"] == "completed"
    assert said["ram_bytes"] == pytest.approx(ran.figure("ram_bytes"), rel=0.01)
    # Neither is faster than the link; how much slower is the machine's business.
    for ram_bytes, total_time_ms in (
        (said["ram_bytes"], said["total_time_ms"]),
        (ran.figure("ram_bytes"), ran.figure("total_time_ms")),
    ):
        assert total_time_ms >= ram_bytes * 8 / 1e9 * 1000
