"""A run of every version of the results schema goes on being read, shown, exported and reported."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import labctl
from labctl.campaign import Plan
from labctl.cli.app import app
from labctl.results.frame import frame_columns
from labctl.results.layout import REPORT, RESULTS
from labctl.results.schema import SCHEMA_VERSION, parse_record

STORED = Path(__file__).parents[1] / "data" / "runs"
EXAMPLES = sorted(path for path in STORED.glob("v*/*") if path.is_dir())


@pytest.fixture(params=EXAMPLES, ids=[path.parent.name for path in EXAMPLES])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy: reading a run keeps what it derives."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    example: Path = request.param
    derived = shutil.ignore_patterns(RESULTS, REPORT)  # they would hide what the rest holds
    copy = shutil.copytree(example, tmp_path / "runs" / example.name, ignore=derived)
    return Path(copy).relative_to(tmp_path)


def said(*args: str) -> str:
    done = CliRunner().invoke(app, list(args))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_version_has_its_example() -> None:
    assert [path.parent.name for path in EXAMPLES] == [
        f"v{version}" for version in range(1, SCHEMA_VERSION + 1)
    ]
    for path in EXAMPLES:
        records = [json.loads(file.read_text()) for file in path.glob("trials/*/trial.json")]
        assert {f"v{record['schema_version']}" for record in records} == {path.parent.name}


def test_it_loads_with_all_that_it_holds(run: Path) -> None:
    stored = labctl.load_run(run)
    assert stored.campaign.name == "example"
    assert [(trial.outcome, trial.verdict) for trial in (t.record for t in stored.trials())] == [
        ("not_converged", "on_source"),
        ("completed", "on_destination"),
    ]
    for trial in stored.trials():
        assert len(trial.beats) > 1000
        assert set(trial.samples["kind"]) == {"migrate", "host"}
        assert {event["kind"] for event in trial.events} == {"qmp", "command", "state", "node"}
        assert trial.record.schema_version == SCHEMA_VERSION
        again = parse_record(trial.record.to_json(), place="trial.json")
        assert json.loads(again.to_json()) == json.loads(trial.record.to_json())
    assert stored.environment["pairs"]
    assert stored.journal()[-1]["event"] == "RunEnded"
    assert Plan.from_json(stored.plan.to_json()) == stored.plan


def test_nothing_that_was_stored_is_lost_on_the_way(run: Path) -> None:
    """Whatever was in a record, a newer labctl has it too, unless the version says otherwise."""
    for trial in labctl.load_run(run).trials():
        was = json.loads((trial.path / "trial.json").read_text())
        if was["schema_version"] == SCHEMA_VERSION:
            assert _within(was, json.loads(trial.record.to_json()))


def _within(old: object, new: object) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return all(key in new and _within(value, new[key]) for key, value in old.items())
    return old == new


def test_its_frame_has_every_column_and_the_figures_it_was_stored_with(run: Path) -> None:
    frame = labctl.load_run(run).frame().set_index("trial")
    before, after = frame_columns()
    assert {column.name for column in (*before, *after)} <= {"trial", "write_rate", *frame.columns}
    assert list(frame["outcome"]) == ["not_converged", "completed", "unsupported"]
    assert frame.loc[3, "rule"] == "preempt-needs-postcopy"
    record = labctl.load_run(run).trial(2).record
    for name in ("blackout_ms", "total_time_ms", "wire_bytes", "downtime_ms", "work_lost_s"):
        assert frame.loc[2, name] == record.figures[name]
    assert bool(frame.loc[2, "memory_identical"])


def test_every_verb_reads_it(run: Path) -> None:
    assert run.name in said("ls")
    assert "1 not converged, 1 completed, 1 unsupported" in " ".join(said("show", str(run)).split())
    assert "Memory check" in said("show", run.name, "2")
    assert json.loads(said("show", run.name, "1", "--json"))["outcome"] == "not_converged"
    assert len(json.loads(said("results", run.name, "--format", "json"))) == 3
    assert said("results", run.name, "--format", "csv").count("\n") == 4
    assert "not converged" in said("results", run.name)
    said("results", run.name, "--format", "parquet", "--output", "frame.parquet")
    said("report", run.name)
    assert "blackout" in (run / REPORT).read_text()
