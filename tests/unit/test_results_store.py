"""A results directory: whole trials or nothing, one writer, no result overwritten."""

import errno
import gc
import json
import os
import subprocess
import sys
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from labctl.campaign import Plan, make_plan
from labctl.errors import LabctlError, LabHeld, ResultsError, RunNotFound
from labctl.results import Outcome, RunStore, layout, load_run, raw
from tests.synthetic import ENVIRONMENT, quickstart, record

NOW = datetime(2026, 11, 22, 13, 44, 55, tzinfo=UTC)


@pytest.fixture
def plan() -> Plan:
    return make_plan(quickstart())


def create(out: Path, plan: Plan) -> RunStore:
    return RunStore.create(out, quickstart(), plan, ENVIRONMENT, now=NOW)


def trials_of(store: RunStore) -> list[str]:
    return sorted(path.name for path in (store.path / "trials").iterdir())


def everything(path: Path) -> set[str]:
    return {str(found.relative_to(path)) for found in path.rglob("*")}


def test_a_new_run_has_its_plan_and_latest_points_at_it(tmp_path: Path, plan: Plan) -> None:
    out = tmp_path / "deep" / "runs"
    with create(out, plan) as store:
        assert store.name == "quickstart-20261122T134455Z"
    assert everything(out) == {
        "latest",
        store.name,
        *(
            f"{store.name}/{name}"
            for name in (
                "campaign.yaml",
                "plan.json",
                "environment.json",
                "journal.jsonl",
                "trials",
            )
        ),
    }
    assert (out / "latest").readlink() == Path(store.name)
    run = load_run("latest", out)
    assert run.plan == plan
    assert run.campaign.model_dump() == quickstart().model_dump()
    assert run.environment["hosts"] == ENVIRONMENT["hosts"]
    assert run.environment["schema_version"] == 1
    assert run.journal()[0]["event"] == "created"
    assert run.started == NOW
    assert not run.trials()


def test_the_campaign_is_kept_as_it_was_written(tmp_path: Path, plan: Plan) -> None:
    campaign = quickstart().model_copy(update={"source_text": "# by hand\nname: quickstart\n"})
    with RunStore.create(tmp_path, campaign, plan, {}, now=NOW) as store:
        assert (store.path / "campaign.yaml").read_text() == campaign.source_text


def test_runs_of_the_same_second_do_not_share_a_folder(tmp_path: Path, plan: Plan) -> None:
    with create(tmp_path, plan) as first, create(tmp_path, plan) as second:
        assert second.name == f"{first.name}-2"
    assert load_run("latest", tmp_path).name == second.name
    assert load_run(second.name, tmp_path).started == NOW


def test_a_link_that_a_killed_process_left_is_swept(tmp_path: Path, plan: Plan) -> None:
    for pid in ("4194305", str(os.getppid())):
        (tmp_path / f".latest.{pid}.new").symlink_to("nowhere")
    create(tmp_path, plan).close()
    left = {path.name for path in tmp_path.iterdir() if path.name.startswith(".")}
    assert left == {f".latest.{os.getppid()}.new"}


def test_a_latest_that_is_not_ours_stays(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "latest").mkdir()
    create(tmp_path, plan).close()
    assert not (tmp_path / "latest").is_symlink()


def test_a_trial_is_stored_whole(tmp_path: Path, plan: Plan) -> None:
    with create(tmp_path, plan) as store:
        path = store.write_trial(
            record(),
            beats=raw.no_beats(),
            samples=raw.samples_frame([]),
            events=[{"t_ns": 1, "side": "source", "kind": "qmp", "name": "STOP", "data": {}}],
            logs={"source-qemu.log": "hello", "node.log": b"\xff"},
        )
        assert everything(path) == {
            "trial.json", "beats.parquet", "samples.parquet", "events.jsonl",
            "source-qemu.log", "node.log",
        }  # fmt: skip
        assert store.finished() == {1}
    trial = load_run(store.path).trial(1)
    assert trial.record == record()
    assert len(trial.beats) == len(trial.samples) == 0
    assert trial.events[0]["name"] == "STOP"
    assert list(trial.logs) == ["node.log", "source-qemu.log"]


def test_a_trial_without_tables_reads_as_empty_ones(tmp_path: Path, plan: Plan) -> None:
    with create(tmp_path, plan) as store:
        store.write_trial(record(outcome=Outcome.FAILED, reason="the guest never booted"))
    trial = load_run(store.path).trial(1)
    assert (len(trial.beats), len(trial.samples), trial.events, trial.logs) == (0, 0, [], {})


def test_a_result_is_never_overwritten(tmp_path: Path, plan: Plan) -> None:
    with create(tmp_path, plan) as store:
        store.write_trial(record(reason="first"))
        with pytest.raises(ResultsError, match="has a result already"):
            store.write_trial(record(reason="second"))
        with pytest.raises(ResultsError, match="has a result already"):
            store.write_trial(record(name="0001-another-name"))
        assert trials_of(store) == ["0001-precopy"]
    assert load_run(store.path).trial(1).record.reason == "first"


def test_interrupted_attempts_stay_beside_the_result(tmp_path: Path, plan: Plan) -> None:
    with create(tmp_path, plan) as store:
        for attempt in (1, 2):
            assert store.next_attempt(1) == attempt
            store.write_trial(record(outcome=Outcome.INTERRUPTED, attempt=attempt))
            assert store.finished() == set()
        store.write_trial(record(attempt=store.next_attempt(1)))
        assert store.finished() == {1}
        assert trials_of(store) == [
            "0001-precopy", "0001-precopy.attempt1", "0001-precopy.attempt2",
        ]  # fmt: skip
    run = load_run(store.path)
    assert [trial.record.attempt for trial in run.attempts(1)] == [1, 2]
    assert run.trial(1).record.attempt == 3
    assert len(run.trials()) == 1


def test_a_walk_over_trials_holds_one_at_a_time(tmp_path: Path, plan: Plan) -> None:
    with create(tmp_path, plan) as store:
        for number in (1, 2, 3):
            store.write_trial(record(number=number, name=f"{number:04d}-precopy"))
    trials = load_run(store.path).trials()
    assert [trial.number for trial in trials] == [1, 2, 3]
    assert (trials[-1].number, [trial.number for trial in trials[::2]]) == (3, [1, 3])
    read = []
    for trial in trials:
        assert trial.record.number == trial.number
        read.append(weakref.ref(trial))
    del trial
    gc.collect()
    assert [ref() for ref in read] == [None, None, None]


def test_long_names_are_cut_and_told_apart(tmp_path: Path, plan: Plan) -> None:
    with create(tmp_path, plan) as store:
        names = [f"{number:04d}-{'ü' * 150}" for number in (1, 2)]
        for number, name in enumerate(names, start=1):
            store.write_trial(record(number=number, name=name))
        assert all(len(name.encode()) <= 200 for name in trials_of(store))
        assert store.finished() == {1, 2}
    assert [trial.record.name for trial in load_run(store.path).trials()] == names


def test_what_a_dead_writer_left_half_written_is_swept(tmp_path: Path, plan: Plan) -> None:
    """A process that is killed between two files of a trial leaves a folder that is no result."""
    with create(tmp_path, plan) as store:
        store.write_trial(record())
    killed = f"""
import os, signal
from pathlib import Path
from labctl.results import RunStore, store, layout
from tests.synthetic import record
real = store.write_durably
def write(path, data):
    if path.name == layout.RECORD:
        os.kill(os.getpid(), signal.SIGKILL)
    real(path, data)
store.write_durably = write
RunStore.resume(Path({str(store.path)!r})).write_trial(record(number=2, name="0002-precopy"))
"""
    done = subprocess.run([sys.executable, "-c", killed], check=False, timeout=60)
    assert done.returncode == -9
    left = [name for name in trials_of(store) if name.startswith(".writing-0002")]
    assert len(left) == 1
    assert len(load_run(store.path).trials()) == 1
    with RunStore.resume(store.path) as again:
        assert trials_of(again) == ["0001-precopy"]
        assert again.finished() == {1}
        again.write_trial(record(number=2, name="0002-precopy"))


def test_one_process_writes_a_run_at_a_time(tmp_path: Path, plan: Plan) -> None:
    with create(tmp_path, plan) as store:
        with pytest.raises(LabHeld, match=rf"process {os.getpid()} since 20"):
            RunStore.resume(store.name, tmp_path)
        assert load_run(store.name, tmp_path).plan == plan  # reading needs no lock
    RunStore.resume("latest", tmp_path).close()


def test_the_journal_survives_a_torn_line(tmp_path: Path, plan: Plan) -> None:
    with create(tmp_path, plan) as store:
        store.journal("trial_started", trial=1)
    with (store.path / "journal.jsonl").open("ab") as file:
        file.write(b'{"utc": "2026-11-22T1')
    with RunStore.resume(store.path) as again:
        again.journal("trial_started", trial=2)
    events = [(entry["event"], entry.get("trial")) for entry in load_run(store.path).journal()]
    assert events == [
        ("created", None), ("trial_started", 1), ("resumed", None), ("trial_started", 2),
    ]  # fmt: skip


def test_a_plan_can_be_replaced(tmp_path: Path, plan: Plan) -> None:
    with create(tmp_path, plan) as store:
        store.write_plan(make_plan(quickstart(), quick=True))
    assert load_run(store.path).plan.quick


@pytest.mark.parametrize(
    ("number", "mend"),
    [(errno.ENOSPC, "free some space"), (errno.EDQUOT, "free"), (errno.EROFS, "--out")],
)
def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch, number: int, mend: str
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with create(tmp_path, plan) as store:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fail)
            with pytest.raises(LabctlError, match=os.strerror(number)) as caught:
                store.write_trial(record(), beats=raw.no_beats())
            assert mend in str(caught.value)
            assert caught.value.exit_code == 1
        assert trials_of(store) == []
        store.write_trial(record())


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabctlError, match="cannot be written"):
        create(tmp_path / "file" / "runs", plan)


def test_logs_have_plain_names(tmp_path: Path, plan: Plan) -> None:
    with create(tmp_path, plan) as store:
        for name in ("../a.log", "a.txt", "/etc/a.log"):
            with pytest.raises(ValueError, match="plain name"):
                store.write_trial(record(), logs={name: ""})
        assert trials_of(store) == []


def test_files_made_under_sudo_belong_to_the_caller(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: set[str] = set()

    def chown(path: Any, uid: int, gid: int, *, follow_symlinks: bool) -> None:
        assert (uid, gid, follow_symlinks) == (1234, 2345, False)
        given.add(Path(path).name.split(".writing-")[0])

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", chown)
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "2345")
    with create(tmp_path / "runs", plan) as store:
        store.write_trial(record(), beats=raw.no_beats(), logs={"a.log": ""})
    assert given >= {
        "runs", store.name, "trials", "campaign.yaml", "journal.jsonl", "", "trial.json",
        "beats.parquet", "a.log", "events.jsonl",
    }  # fmt: skip


def test_a_run_is_found_by_path_name_or_latest(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    with create(tmp_path, plan) as store:
        pass
    for run in (store.path, str(store.path), store.name, "latest", f"{store.path}/"):
        assert load_run(run, tmp_path).path == store.path.resolve()
    monkeypatch.chdir(tmp_path)
    assert load_run(f"./{store.name}", "elsewhere").name == store.name
    monkeypatch.chdir(store.path)
    assert load_run(".").name == store.name


def test_a_run_that_is_not_there_names_the_nearest(tmp_path: Path, plan: Plan) -> None:
    with pytest.raises(RunNotFound, match="no run `latest`") as none:
        load_run("latest", tmp_path)
    assert "labctl run" in str(none.value)
    create(tmp_path, plan).close()
    for said in ("quickstart-20261122T134456Z", "quickstart", "nonsense"):
        with pytest.raises(RunNotFound) as caught:
            load_run(said, tmp_path)
        assert "quickstart-20261122T134455Z" in str(caught.value.mend)
        assert caught.value.exit_code == 2
    with pytest.raises(RunNotFound, match="is not a run"):
        load_run(tmp_path, tmp_path)


def test_a_damaged_run_is_told(tmp_path: Path, plan: Plan) -> None:
    with create(tmp_path, plan) as store:
        path = store.write_trial(record())
    (path / layout.RECORD).write_text("{")
    with pytest.raises(ResultsError, match=r"trial\.json: is not JSON"):
        _ = load_run(store.path).trial(1).record
    (store.path / "environment.json").write_text("{")
    with pytest.raises(ResultsError, match=r"environment\.json"):
        _ = load_run(store.path).environment
    (store.path / "plan.json").write_text(json.dumps({"schema_version": 9}))
    with pytest.raises(ResultsError):
        _ = load_run(store.path).plan
