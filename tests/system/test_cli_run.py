"""The real command on real migrations: what a user types, sees and gets, from a campaign file to a report."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from labctl.campaign import Plan
from labctl.results import load_run
from tests.system.processes import wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.qemu,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("state_root"),
]

COMMAND = str(Path(sys.executable).parent / "labctl")
TINY = """\
name: tiny
guest: {memory: 64MiB, working_set: 16MiB}
link: {bandwidth: 1Gbit/s}
matrix: {algorithm: [precopy, postcopy]}
limits: {total_time: 30s}
repetitions: 1
warmups: 0
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path


def labctl(
    here: Path, *args: str, status: int = 0, timeout_s: float = 250
) -> subprocess.CompletedProcess[str]:
    """Run the command as a script would; neither terminal nor control codes."""
    done = subprocess.run(
        [COMMAND, *args],
        cwd=here,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "FORCE_COLOR"}}


def answer(here: Path, *args: str) -> Any:
    """What a verb prints for a script."""
    return json.loads(labctl(here, *args).stdout)


def test_a_campaign_from_its_file_to_its_report(here: Path) -> None:
    plan = answer(here, "plan", "tiny.yaml", "--json")
    assert [trial["rule"] for trial in plan["trials"]] == [None, None]
    assert "nothing was run" in labctl(here, "run", "tiny.yaml", "--dry-run").stderr
    assert not (here / "runs").exists()

    ran = labctl(here, "run", "tiny.yaml", "--log-file", "log")
    assert ran.stdout.count("1 of 1") == 2, "both cells of the table are complete"
    assert "Blackout, ms" in ran.stdout
    name = (here / "runs" / "latest").resolve().name
    assert ran.stdout.splitlines()[-3:] == [
        "2 trials: 2 completed",
        f"report:  runs/{name}/report.html",
        f"results: runs/{name}",
    ]
    assert ran.stderr.startswith(f"runs/{name}: 2 trials, about 0:")
    assert sum(" completed " in line for line in ran.stderr.splitlines()) == 2
    assert "RunEnded" in (here / "log").read_text()

    _look_at(here, name, Plan.model_validate({k: v for k, v in plan.items() if k != "estimate_s"}))


def _look_at(here: Path, name: str, plan: Plan) -> None:
    """Every verb that reads a run, on the one that has just been made."""
    (listed,) = answer(here, "ls", "--json")
    assert (listed["name"], listed["finished"]) == (name, 2)
    assert listed["outcomes"] == {"completed": 2}
    assert name in labctl(here, "ls").stdout

    assert answer(here, "show", "--json")["left"] == 0
    assert "Memory check" in labctl(here, "show", name, "1").stdout
    for number, planned in enumerate(plan.trials, start=1):
        record = answer(here, "show", "latest", str(number), "--json")
        assert (record["name"], record["outcome"]) == (planned.name, "completed")
        assert record["guest"]["check"]["pages_bad"] == 0
        assert record["verdict"] == "on_destination"

    rows = answer(here, "results", "--format", "json")
    assert [row["trial"] for row in rows] == [1, 2]
    assert [row["cell"] for row in rows] == [trial.cell for trial in plan.trials]
    for row in rows:
        assert row["outcome"] == "completed"
        assert row["memory_identical"] is True
        assert row["blackout_ms"] > 0
        assert isinstance(row["wire_bytes"], int)
    table = labctl(here, "results").stdout
    assert all(text in table for text in ("precopy", "postcopy", "1 of 1"))
    csv = pd.read_csv(io.StringIO(labctl(here, "results", "-f", "csv").stdout))
    labctl(here, "results", "-f", "parquet", "-o", "results.parquet")
    parquet = pd.read_parquet(here / "results.parquet")
    for frame in (csv, parquet):
        assert frame["blackout_ms"].tolist() == [row["blackout_ms"] for row in rows]

    report = here / "runs" / name / "report.html"
    report.unlink()
    assert labctl(here, "report").stdout.strip() == f"runs/{name}/report.html"
    assert "<html" in report.read_text()
    again = labctl(here, "run", "--resume")
    assert again.stderr.startswith("every trial has its result: nothing was run")


def test_ctrl_c_and_the_command_that_it_prints(here: Path) -> None:
    process = subprocess.Popen(
        [COMMAND, "run", "tiny.yaml", "--out", "o"],
        cwd=here,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def migrating() -> bool:
        return '"TrialStarted"' in _journal(here) or process.poll() is not None

    wait_until(migrating, "the first trial starts", 60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    interrupted = load_run("latest", here / "o")
    command = err.strip().rpartition("; to go on: ")[2]
    assert command == f"labctl run --resume {interrupted.name} --out o"

    assert '"AttemptInterrupted"' in _journal(here)
    assert [len(interrupted.attempts(number)) for number in (1, 2)] == [1, 0]
    went_on = labctl(here, *command.split()[1:])
    assert "2 trials: 2 completed" in went_on.stdout
    finished = load_run(interrupted.path)
    assert [trial.record.number for trial in finished.trials()] == [1, 2]
    assert finished.trial(1).record.attempt == 2


def _journal(here: Path) -> str:
    return "".join(path.read_text() for path in (here / "o").glob("tiny-*/journal.jsonl"))
