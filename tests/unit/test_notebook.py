"""The example notebook runs from its first cell to its last, and is kept without what it printed."""

import asyncio
import shutil
import warnings
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from labctl.results.layout import RESULTS

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path: Path) -> None:
    """Else every run would change the file; `jupyter nbconvert --clear-output --inplace` clears it."""
    cells = nbformat.read(path, as_version=4).cells  # type: ignore[no-untyped-call]
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = (ROOT / "tests" / "data" / "runs" / "v1").iterdir()
    copy = shutil.copytree(example, tmp_path / example.name)  # reading a run keeps what it derives
    monkeypatch.setenv("LABCTL_RUN", str(copy))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    with warnings.catch_warnings(action="ignore"):  # of the kernel's own machinery
        client = NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": ROOT}}
        )
        asyncio.run(client.async_execute())
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert all(outputs[1:]), "every cell shows something"
    said = "".join(output.get("text", "") for cell in outputs for output in cell)
    assert "ms by hand" in said
    assert (tmp_path / example.name / RESULTS).is_file()
    figures = [
        o for cell in outputs for o in cell if "application/vnd.plotly.v1+json" in o.get("data", {})
    ]
    assert len(figures) == 2
