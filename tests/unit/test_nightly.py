"""The scripted campaign for cron: what it runs, finishes, compares, and how it ends."""

import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from labctl import api
from labctl.campaign import Campaign, dump_campaign, load_campaign
from labctl.lab.fake import FakeLab, Script, fake_lab
from labctl.results import list_runs, load_run
from tests.fakes import campaign
from tests.synthetic import fake_run

SCRIPT = Path(__file__).parents[2] / "campaigns" / "nightly.py"


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("nightly", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


nightly = _load()


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch, quick: None) -> list[Script]:
    """What the trials of the next run do; filled by a test."""
    planned: list[Script] = []

    def open_lab(*_arguments: Any, **named: Any) -> FakeLab:
        mine = list(planned)
        if named.get("lock", True):  # a plan asks and runs nothing
            planned.clear()
        return fake_lab(mine)

    monkeypatch.setattr(api, "open_lab", open_lab)
    return planned


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    asked = campaign(repetitions="2").model_dump() | {
        "timing": {"baseline": "100ms", "settle": "100ms"}
    }
    Path("night.yaml").write_text(dump_campaign(Campaign.model_validate(asked)))
    return "night.yaml"


def test_the_first_night_has_nothing_to_compare_with_and_the_second_has(
    file: str, scripts: list[Script], capsys: pytest.CaptureFixture[str]
) -> None:
    assert nightly.main([file]) == 0
    assert "its first run" in capsys.readouterr().out
    assert nightly.main([file]) == 0
    (first, second) = list_runs()
    assert f"nothing became worse since {first.name}" in capsys.readouterr().out
    assert second.finished == 2


def test_trials_that_failed_are_its_exit_status(file: str, scripts: list[Script]) -> None:
    scripts += [Script("failed")]
    assert nightly.main([file]) == 1


def test_a_run_that_was_cut_off_is_finished(file: str, scripts: list[Script]) -> None:
    cut = api.run(load_campaign(file), only="0001-*").directory
    assert nightly.main([file]) == 0
    (only,) = list_runs()
    assert (only.name, only.finished) == (cut.name, 2)


def test_a_cell_that_completes_no_more_is_worse(
    file: str, scripts: list[Script], capsys: pytest.CaptureFixture[str]
) -> None:
    assert nightly.main([file]) == 0
    scripts += [Script("cancelled"), Script("cancelled")]
    assert nightly.main([file]) == nightly.WORSE
    assert "2 of 2 completed then, 0 of 2 now" in capsys.readouterr().out


def test_another_campaign_of_the_same_name_is_not_compared_with(
    file: str, scripts: list[Script], capsys: pytest.CaptureFixture[str]
) -> None:
    assert nightly.main([file]) == 0
    Path(file).write_text(Path(file).read_text().replace("1Gbit/s", "2Gbit/s"))
    assert nightly.main([file]) == 0
    assert "its first run" in capsys.readouterr().out.splitlines()[-1]


def test_a_mistake_is_said_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nightly.main([str(tmp_path / "no.yaml")]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Nine cells of three repetitions, invented."""
    return load_run(fake_run(tmp_path_factory.mktemp("runs"))).frame()


def grown(frame: pd.DataFrame, column: str, factor: float, trials: int = 3) -> pd.DataFrame:
    """The same with a figure of the first cell larger in some of its trials."""
    now = frame.copy()
    completed = now[now["outcome"] == "completed"]
    rows = completed.index[completed["cell"] == completed["cell"].iloc[0]][:trials]
    now.loc[rows, column] *= factor
    return now


def test_the_same_is_not_worse(frame: pd.DataFrame) -> None:
    assert list(nightly.worse(frame, frame, 0.25)) == []


def test_a_figure_that_grew_in_every_repetition_is_worse(frame: pd.DataFrame) -> None:
    (said,) = nightly.worse(frame, grown(frame, "blackout_ms", 10.0), 0.25)
    assert "blackout_ms" in said


def test_what_is_inside_the_noise_or_the_tolerance_is_not_worse(frame: pd.DataFrame) -> None:
    assert list(nightly.worse(frame, grown(frame, "blackout_ms", 10.0, trials=1), 0.25)) == []
    assert list(nightly.worse(frame, grown(frame, "blackout_ms", 1.2), 0.25)) == []


def test_two_repetitions_are_not_judged(frame: pd.DataFrame) -> None:
    two = frame[frame["block"] < 3]
    assert list(nightly.worse(two, grown(two, "blackout_ms", 10.0), 0.25)) == []
