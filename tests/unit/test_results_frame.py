"""The frame: one row a trial, derived, made anew when it must be."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from labctl.campaign import Plan, make_plan
from labctl.errors import InputError, ResultsError
from labctl.results import Outcome, RunStore, building, frame, list_runs, load_run, raw
from labctl.results.reference import reference_page
from tests.synthetic import ENVIRONMENT, fake_run, fake_trial, quickstart, record, write

DESIGN = [
    "trial",
    "cell",
    "block",
    "attempt",
    "pair",
    "direction",
    "algorithm",
    "transport",
    "write_rate",
    "outcome",
    "verdict",
    "reason",
    "rule",
    "total_time_ms",
    "setup_time_ms",
    "switchover_ms",
    "downtime_ms",
    "blackout_ms",
    "stall_max_ms",
    "stall_total_ms",
    "brownout_ms",
    "work_lost_s",
    "wire_bytes",
    "ram_bytes",
    "passes",
    "page_requests",
    "write_rate_asked_bytes_per_s",
    "write_rate_measured_bytes_per_s",
    "cpu_source_s",
    "cpu_destination_s",
    "exposure_s",
    "memory_identical",
    "switched",
    "schema",
]


def refused(plan: Plan, cell: str) -> Plan:
    """The same plan, a cell of it unsupported."""
    data = plan.model_dump()
    for trial in data["trials"]:
        if trial["cell"] == cell and not trial["warmup"]:
            trial |= {
                "rule": "userfaultfd",
                "reason": "userfaultfd is not allowed",
                "estimate_s": 0.0,
            }
    return Plan.model_validate(data)


@pytest.fixture(scope="module")
def partial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one cell unsupported, its first nine trials done."""
    plan = refused(make_plan(quickstart()), "postcopy,write_rate=40MiBps")
    return fake_run(tmp_path_factory.mktemp("runs"), plan=plan, trials=9)


def test_the_columns_are_the_designs_in_order(partial: Path) -> None:
    found = load_run(partial).frame()
    assert found.columns.tolist()[: len(DESIGN)] == DESIGN
    assert len(set(found.columns)) == len(found.columns)


def test_pending_trials_are_absent_and_unsupported_ones_present(partial: Path) -> None:
    run = load_run(partial)
    found = run.frame()
    assert len(found) == 8 + 3  # nine less the warm-up, and three repetitions of the refused cell
    unsupported = found[found["outcome"] == "unsupported"]
    assert set(unsupported["cell"]) == {"postcopy,write_rate=40MiBps"}
    assert set(unsupported["rule"]) == {"userfaultfd"}
    assert set(unsupported["reason"]) == {"userfaultfd is not allowed"}
    assert set(unsupported["write_rate"]) == {"40MiB/s"}
    assert unsupported["total_time_ms"].isna().all()
    assert unsupported["memory_identical"].isna().all()
    assert found["trial"].is_monotonic_increasing
    assert found["trial"].is_unique
    info = list_runs(partial.parent)[0]
    assert (info.planned, info.unsupported, info.finished, info.latest) == (28, 3, 9, True)
    assert info.outcomes["unsupported"] == 3
    assert sum(info.outcomes.values()) == 11


def test_warm_ups_are_left_out_unless_asked(partial: Path) -> None:
    run = load_run(partial)
    assert not run.frame()["warmup"].any()
    with_them = run.frame(warmups=True)
    assert with_them["warmup"].sum() == 1
    assert with_them["block"].min() == 0


def test_factors_are_categories_in_the_campaigns_order(partial: Path) -> None:
    found = load_run(partial).frame()
    assert found["write_rate"].cat.categories.tolist() == ["0MiB/s", "40MiB/s", "400MiB/s"]
    assert found["algorithm"].cat.categories.tolist() == ["precopy", "postcopy", "hybrid"]
    assert found["cell"].cat.ordered
    assert found["write_rate"].max() == "400MiB/s"


def test_the_frame_is_kept_and_deleting_it_loses_nothing(partial: Path) -> None:
    run = load_run(partial)
    first = run.frame()
    kept = partial / "results.parquet"
    stamp = kept.stat().st_mtime_ns
    pd.testing.assert_frame_equal(run.frame(), first)
    assert kept.stat().st_mtime_ns == stamp
    kept.unlink()
    pd.testing.assert_frame_equal(run.frame(), first)
    kept.write_bytes(b"damaged")
    pd.testing.assert_frame_equal(run.frame(), first)
    assert kept.stat().st_size > 1000


def test_a_kept_frame_of_other_trials_is_made_anew(tmp_path: Path) -> None:
    campaign, plan = quickstart(), make_plan(quickstart())
    with RunStore.create(tmp_path, campaign, plan, ENVIRONMENT) as store:
        run = load_run(store.path)
        assert len(run.frame()) == 0
        assert run.frame().columns.tolist()[: len(DESIGN)] == DESIGN
        for count, number in enumerate((2, 3), start=1):
            trial = fake_trial(campaign, plan, number)
            write(store, trial)
            assert len(run.frame()) == count
    path = run.trial(2).path / "trial.json"
    path.write_text(path.read_text().replace('"completed"', '"failed"'))
    assert run.frame()["outcome"].tolist()[0] == "failed"


def test_a_frame_of_other_columns_is_made_anew(
    partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = load_run(partial)
    run.frame()
    last = building.AFTER[-1].name
    fewer = building.AFTER[:-1]
    for module in (frame, building):
        monkeypatch.setattr(module, "AFTER", fewer)
    assert last not in run.frame()
    monkeypatch.undo()
    assert "beats_lost" in run.frame()


def test_some_columns_are_read_alone(partial: Path) -> None:
    run = load_run(partial)
    some = run.frame(columns=["blackout_ms"])
    whole = run.frame()
    pd.testing.assert_frame_equal(some, whole[list(some.columns)])
    assert {"trial", "cell", "write_rate", "outcome", "blackout_ms"} <= set(some.columns)
    assert "total_time_ms" not in some


def test_a_large_run_is_built_some_at_a_time(
    partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_run(partial).frame()
    (partial / "results.parquet").unlink()
    monkeypatch.setattr(building, "CHUNK", 3)
    pd.testing.assert_frame_equal(load_run(partial).frame(), whole)


def test_a_run_is_read_where_nothing_can_be_written(
    partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, data: bytes) -> None:
        raise PermissionError(13, "Permission denied")

    (partial / "results.parquet").unlink(missing_ok=True)
    monkeypatch.setattr(frame, "replace_file", refuse)
    assert len(load_run(partial).frame()) == 11
    assert not (partial / "results.parquet").exists()


def test_figures_that_an_older_labctl_did_not_store_are_worked_out(tmp_path: Path) -> None:
    campaign, plan = quickstart(), make_plan(quickstart())
    trial = fake_trial(campaign, plan, 2)
    true = dict(trial.record.figures)
    trial.record.figures = {"blackout_ms": 7.5, "of_the_past": 1}
    with RunStore.create(tmp_path, campaign, plan, ENVIRONMENT) as store:
        write(store, trial)
    row = load_run(store.path).frame().iloc[0]
    assert row["blackout_ms"] == 7.5  # what was stored stands
    assert row["wire_bytes"] == true["wire_bytes"]
    assert row["write_rate_measured_bytes_per_s"] == true["write_rate_measured_bytes_per_s"]


def test_a_result_that_is_no_longer_planned_is_not_dropped(tmp_path: Path) -> None:
    plan = make_plan(quickstart())
    spec: dict[str, Any] = {
        "factors": {"algorithm": "ancient", "colour": "red"},
        "algorithm": {"name": "ancient", "kind": "precopy"},
        "transport": "tcp",
    }
    with RunStore.create(tmp_path, quickstart(), plan, {}) as store:
        store.write_trial(
            record(
                number=99, name="0099-ancient", cell="ancient", spec=spec, outcome=Outcome.FAILED
            )
        )
    row = load_run(store.path).frame().iloc[0]
    assert (row["trial"], row["cell"], row["algorithm"], row["colour"]) == (
        99,
        "ancient",
        "ancient",
        "red",
    )


def test_an_interrupted_attempt_is_no_row(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, quickstart(), make_plan(quickstart()), {}) as store:
        store.write_trial(record(outcome=Outcome.INTERRUPTED))
    assert len(load_run(store.path).frame()) == 0


def test_a_trial_that_is_not_there_says_what_is(partial: Path) -> None:
    with pytest.raises(InputError, match="trial 99") as caught:
        load_run(partial).trial(99)
    assert "from 1 to" in str(caught.value)


def test_one_damaged_run_does_not_hide_the_others(partial: Path, tmp_path: Path) -> None:
    with RunStore.create(tmp_path, quickstart(), make_plan(quickstart()), {}) as store:
        pass
    (tmp_path / "other-20260101T000000Z").mkdir()
    (tmp_path / "other-20260101T000000Z" / "plan.json").write_text("{")
    (tmp_path / "no-run").mkdir()
    infos = list_runs(tmp_path)
    assert [(info.name, info.planned) for info in infos] == [
        ("other-20260101T000000Z", None), (store.name, 28),
    ]  # fmt: skip
    assert list_runs(tmp_path / "nowhere") == []
    with pytest.raises(ResultsError):
        load_run("other-20260101T000000Z", tmp_path).frame()


def test_export_formats_take_the_frame_as_it_is(partial: Path, tmp_path: Path) -> None:
    found = load_run(partial).frame()
    rows = json.loads(found.to_json(orient="records"))
    assert [row["trial"] for row in rows] == found["trial"].tolist()
    assert rows[0]["write_rate"] == found["write_rate"].iloc[0]
    assert len(found.to_csv(index=False).splitlines()) == len(found) + 1
    (tmp_path / "a.parquet").write_bytes(raw.to_parquet(found))
    pd.testing.assert_frame_equal(raw.from_parquet(tmp_path / "a.parquet"), found)


def test_the_reference_page_is_what_the_code_says() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "results.md"
    assert page.read_text() == reference_page(), (
        "run `python -m labctl.results.reference > docs/reference/results.md`"
    )
