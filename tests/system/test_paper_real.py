"""The paper's study at its small size, once through on real machines: run, results, report, comparison."""

import json
from pathlib import Path

import pytest

from labctl.campaign import load_campaign
from labctl.results import load_run
from tests.system.test_cli_run import labctl

ROOT = Path(__file__).parents[2]
CAMPAIGN = ROOT / "campaigns" / "paper-small.yaml"

pytestmark = [
    pytest.mark.root,
    pytest.mark.qemu,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("state_root"),
]


def test_every_cell_once_and_all_that_can_be_said_of_it(tmp_path: Path) -> None:
    """One repetition: each variant and load works, and nothing is claimed that one repetition does not carry."""
    labctl(tmp_path, "run", str(CAMPAIGN), "--quick", timeout_s=540)
    frame = load_run("latest", tmp_path / "runs").frame()
    cells = [cell.name for cell in load_run("latest", tmp_path / "runs").plan.cells]
    assert sorted(frame["cell"].astype(str)) == sorted(cells)
    assert set(frame["algorithm"]) == set(load_campaign(CAMPAIGN).matrix["algorithm"])
    assert frame[frame["twin_of"].notna()]["cell"].astype(str).str.endswith(",twin").all()
    figures = frame[frame["outcome"] == "completed"]
    for column in (
        "memory_extra_peak_bytes",
        "clock_jump_ms",
        "vcpu_stolen_s",
        "estimated_time_ms",
    ):
        assert figures[column].notna().all(), column
    assert (figures["beats_reordered"] == 0).all()
    assert (figures["memory_extra_peak_bytes"] > 0.5 * figures["memory_bytes"]).all()
    compared = labctl(
        tmp_path, "compare", "latest", "--between", "algorithm=precopy,postcopy", "--json"
    )
    assert {effect["verdict"] for effect in json.loads(compared.stdout)["effects"]} == {"too few"}
    gate = ("compare", "latest", "latest", "--fail-if", "blackout worsens by > 10%")
    gated = labctl(tmp_path, *gate, status=2)
    assert "can be judged nowhere" in gated.stderr
    assert labctl(tmp_path, "effects", "latest", "--metric", "blackout").stdout.count("%") > 4
    page = (tmp_path / "runs" / "latest" / "report.html").read_text()
    assert 'id="answer"' in page
    assert "Repetitions are too few" in page
