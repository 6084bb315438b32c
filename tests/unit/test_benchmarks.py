"""The harness of the benchmarks: limits, intervals, the table, rows measured anew. No QEMU, no lab."""

import io
import json
import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import document, machine, statistics
from benchmarks.claim import Claim, NotMeasured, Tell
from benchmarks.claims import CLAIMS
from benchmarks.progress import Progress, left
from benchmarks.rows import Limit, Measured, Row
from labctl.errors import LabError, LabHeld

MACHINE = {"CPU": "one", "cores": 2}


def row(name: str = "figure", value: float | None = 1.0, **more: Any) -> Row:
    return Row(name, f"what {name} is", value, "ms", 9, **more)


def measured(claim: str, *rows: Row, when: str = "2026-11-22 18:00", **more: Any) -> Measured:
    load = {"before": 0.1, "after": 0.2, "stolen": 0.01}
    said = {"machine": MACHINE, "load": load, "rows": rows, "seconds": 3.0, **more}
    return Measured(claim=claim, command=f"python -m benchmarks {claim}", when=when, **said)


def claim(name: str, *rows: Row, fault: Exception | None = None) -> Claim:
    def measure(tell: Tell) -> Iterator[Row]:
        tell("half of it", 0.5)
        yield from rows
        if fault is not None:
            raise fault

    return Claim(name, f"how {name} is measured", 2.0, measure)


class TestLimits:
    @pytest.mark.parametrize(
        ("limit", "value", "interval", "holds"),
        [
            (Limit(most=1.0), 1.0, None, True),
            (Limit(most=1.0), 1.01, None, False),
            (Limit(least=7.0), 6.9, None, False),
            (Limit(least=0.9, most=1.1), 1.0, None, True),
            (Limit(least=0.9, most=1.1), 0.8, None, False),
            (Limit(most=1.05, of="interval"), 1.0, (0.9, 1.04), True),
            (Limit(most=1.05, of="interval"), 1.0, (0.9, 1.06), False),
            (Limit(most=1.05, of="interval"), 1.0, None, False),
            (Limit(most=1.05), None, None, False),
            (Limit(most=1.05), math.nan, None, False),
            (Limit(least=1.05), math.nan, None, False),
        ],
    )
    def test_what_it_is_held_to(
        self, limit: Limit, value: float | None, interval: Any, holds: bool
    ) -> None:
        assert limit.holds(value, interval) is holds

    def test_a_row_without_a_limit_is_neither_kept_nor_failed(self) -> None:
        assert row().passed is None
        assert row(limit=Limit(most=2)).passed is True

    def test_a_claim_passes_when_no_limit_is_broken_and_it_was_measured(self) -> None:
        assert measured("a", row(), row(limit=Limit(most=2))).passed
        assert not measured("a", row(), row(limit=Limit(most=0.5))).passed
        assert not measured("a", error="no lab").passed


class TestStatistics:
    def test_an_interval_holds_the_median_and_is_the_same_each_time(self) -> None:
        values = [float(value) for value in range(1, 31)]
        low, high = statistics.median_interval(values) or (math.nan, math.nan)
        assert 8 < low < statistics.median(values) < high < 23
        assert statistics.median_interval(values) == (low, high)

    def test_it_is_narrow_where_the_points_are(self) -> None:
        assert statistics.median_interval([5.0] * 20) == (5.0, 5.0)

    def test_too_few_points_have_none(self) -> None:
        assert statistics.median_interval([1.0] * 5) is None
        assert statistics.p95_interval([1.0] * 58) is None
        assert statistics.p95_interval([1.0] * 59) == (1.0, 1.0)

    def test_it_covers_the_truth_about_as_often_as_it_says(self) -> None:
        """Of the normal distribution's median, from 20 points: a percentile bootstrap covers a little less than 95 %."""
        draw = np.random.default_rng(1)
        intervals = [statistics.median_interval(draw.normal(0, 1, 20).tolist()) for _ in range(200)]
        covered = sum(low <= 0 <= high for low, high in filter(None, intervals))
        assert 0.88 <= covered / 200 <= 0.99


class TestDocument:
    def test_json_goes_there_and_back(self, tmp_path: Path) -> None:
        points = ({"true_ms": 1.5, "seen_ms": None}, 2.0)
        full = row("b", interval=(0.5, 1.5), limit=Limit(most=2.0), note="n", points=points)
        whole = {"x": measured("x", row("a", None), full), "y": measured("y", error="why")}
        path = tmp_path / "benchmarks.json"
        path.write_text(document.to_json(whole))
        assert document.load(path) == whole

    def test_nothing_was_measured_before(self, tmp_path: Path) -> None:
        assert document.load(tmp_path / "benchmarks.json") == {}

    def test_a_file_of_another_version_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "benchmarks.json"
        path.write_text(json.dumps({"version": 99, "claims": {}}))
        with pytest.raises(ValueError, match="version 1"):
            document.load(path)

    def test_what_is_measured_anew_replaces_its_rows_alone(self) -> None:
        before = {
            "gone": measured("gone", row()),
            "b": measured("b", row("old"), row("older")),
            "a": measured("a", row(), when="2026-01-01 00:00"),
        }
        whole = document.merged(before, [measured("b", row("new"))], ["a", "b", "c"])
        assert list(whole) == ["a", "b"]
        assert [found.name for found in whole["b"].rows] == ["new"]
        assert whole["a"].when == "2026-01-01 00:00"

    def test_the_page_shows_every_row_its_command_and_what_failed(self) -> None:
        rows = (
            row("kept", 0.5, limit=Limit(most=1.0), interval=(0.4, 0.6)),
            row("broken", 1.5, limit=Limit(most=1.0), note="busy | machine"),
            row("missing", None, limit=Limit(least=1.0)),
            row("told", 12345.6),
        )
        whole = {"x": measured("x", *rows), "y": measured("y", error="the lab\nis held")}
        page = document.to_markdown(whole, [claim("x"), claim("y"), claim("z")])
        lines = {
            line.split("|")[1].strip(): line for line in page.splitlines() if "`python" in line
        }
        assert (
            "0.5 ms | 9 | 0.4 to 0.6 | at most 1 | kept | `python -m benchmarks x` | 2026"
            in (lines["what kept is"])
        )
        assert "busy \\| machine" in lines["what broken is"]
        assert "**failed**" in lines["what broken is"]
        assert "not had" in lines["what missing is"]
        assert "**failed**" in lines["what missing is"]
        assert "12 346 ms | 9 | - | - | - |" in lines["what told is"]
        assert "not measured: the lab is held" in lines["y"]
        assert "**failed**" in lines["y"]
        assert "not measured yet" in lines["z"]
        assert "how z is measured" in page
        assert "CPU: one; cores: 2" in page

    def test_machines_are_told_apart(self) -> None:
        whole = {"x": measured("x", row()), "y": measured("y", row(), machine={"CPU": "two"})}
        page = document.to_markdown(whole, [claim("x"), claim("y")])
        assert "x: CPU: one; cores: 2." in page
        assert "y: CPU: two." in page

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0.0, "0"),
            (0.12345, "0.1235"),
            (12.345, "12.35"),
            (1234567, "1 234 567"),
            (2e-5, "0.00002"),
        ],
    )
    def test_numbers(self, value: float, text: str) -> None:
        assert document.number(value) == text


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The command line over claims of the test's own, on a machine that is not asked."""
    monkeypatch.setattr(machine, "facts", lambda: MACHINE)
    handler = signal.getsignal(signal.SIGTERM)

    def run(claims: list[Claim], *names: str) -> tuple[int, dict[str, Measured]]:
        monkeypatch.setattr(command, "CLAIMS", tuple(claims))
        status = command.main(["--out", str(tmp_path), *names])
        return status, document.load(tmp_path / "benchmarks.json")

    yield run
    signal.signal(signal.SIGTERM, handler)


class TestCommand:
    def test_all_are_measured_and_written(self, harness: Any, tmp_path: Path) -> None:
        status, stored = harness([claim("a", row(limit=Limit(most=2))), claim("b", row())])
        assert status == 0
        assert list(stored) == ["a", "b"]
        assert "what figure is" in (tmp_path / "benchmarks.md").read_text()

    def test_a_limit_that_is_not_kept_fails_the_command(self, harness: Any) -> None:
        status, stored = harness([claim("a", row(limit=Limit(most=0.5))), claim("b", row())])
        assert status == 1
        assert list(stored) == ["a", "b"]

    @pytest.mark.parametrize("fault", [NotMeasured("no beat"), LabError("no beat")])
    def test_what_could_not_be_measured_fails_it_too(self, harness: Any, fault: Exception) -> None:
        status, stored = harness([claim("a", row(), fault=fault), claim("b", row())])
        assert status == 1
        assert stored["a"].error == "no beat"
        assert stored["a"].rows == ()
        assert stored["b"].passed

    def test_one_by_name_leaves_the_others(self, harness: Any) -> None:
        harness([claim("a", row("old")), claim("b", row("old"))])
        status, stored = harness([claim("a", row("new")), claim("b", row("new"))], "b")
        assert status == 0
        assert stored["a"].rows[0].name == "old"
        assert stored["b"].rows[0].name == "new"

    def test_ctrl_c_keeps_what_was_measured(self, harness: Any) -> None:
        stopped = claim("b", row())
        object.__setattr__(stopped, "measure", _interrupted)
        status, stored = harness([claim("a", row()), stopped, claim("c", row())])
        assert status == 130
        assert list(stored) == ["a"]

    def test_a_lab_that_is_held_says_nothing_of_the_claim(self, harness: Any) -> None:
        harness([claim("a", row("old"))])
        status, stored = harness([claim("a", fault=LabHeld("held by another run"))])
        assert status == 3
        assert stored["a"].rows[0].name == "old"

    def test_an_unknown_name_is_refused(
        self, harness: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            harness([claim("a", row())], "b")
        assert "no such claim: b" in capsys.readouterr().err

    def test_where_it_is_written_is_made_before_anything_is_measured(
        self, harness: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        untouched = claim("a", fault=AssertionError("measured"))
        (tmp_path / "file").touch()
        assert harness([untouched], "--out", str(tmp_path / "file" / "under"))[0] == 2
        assert "file/under: Not a directory" in capsys.readouterr().err
        assert harness([claim("a", row())], "--out", str(tmp_path / "new" / "under"))[0] == 0
        assert (tmp_path / "new" / "under" / "benchmarks.json").exists()


def _interrupted(_tell: Tell) -> Iterator[Row]:
    raise KeyboardInterrupt


class TestProgress:
    def test_it_says_what_is_left(self) -> None:
        claims = [claim("a"), claim("b")]
        out = io.StringIO()
        progress = Progress(claims, out)
        progress.begin(claims[0])
        assert progress.left_s(0.5) == pytest.approx(3.0)
        progress.tell("now", 0.5)
        progress.end("kept")
        assert out.getvalue().splitlines() == ["[1/2] a begins, about 4 s left", "[1/2] a: kept"]

    def test_minutes_are_said_as_such(self) -> None:
        assert left(240) == "about 4 min"


def test_every_claim_has_a_name_of_its_own_and_says_how_it_is_measured() -> None:
    assert len({found.name for found in CLAIMS}) == len(CLAIMS)
    assert all(found.about.strip() and found.estimate_s > 0 for found in CLAIMS)
    assert sum(found.estimate_s for found in CLAIMS) <= 45 * 60
