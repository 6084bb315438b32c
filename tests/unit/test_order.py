"""The order of `make test`: what must be alone is alone, what is one after the other is, however many workers there are."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ALONE, CHAINS, scope_of

ROOT = Path(__file__).parents[2]
CONFTEST = "from tests.conftest import pytest_collection_modifyitems, pytest_xdist_make_scheduler\n"
MODULE = """\
import time
from pathlib import Path

import pytest

@pytest.mark.parametrize("which", range({count}))
def test_it(which, request):
    began = time.monotonic()
    time.sleep({seconds})
    with Path({log!r}).open("a") as log:
        log.write(f"{{request.node.nodeid}} {{began}} {{time.monotonic()}}\\n")
"""


@dataclass(frozen=True)
class Ran:
    """A test that ran, and from when to when."""

    scope: str
    began_s: float
    ended_s: float

    def overlaps(self, other: "Ran") -> bool:
        return self.began_s < other.ended_s and other.began_s < self.ended_s


@pytest.mark.parametrize("workers", [2, 3])
def test_what_must_be_alone_is(tmp_path: Path, workers: int) -> None:
    log = tmp_path / "log"
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for folder, name, count, seconds in (
        ("system", f"test_{CHAINS['hosts'][0]}.py", 3, 0.3),
        ("system", f"test_{CHAINS['beside'][0]}.py", 3, 0.1),
        ("system", "test_measured.py", 4, 0.05),
        ("unit", "test_small.py", 12, 0.05),
    ):
        file = tmp_path / "tests" / folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(MODULE.format(count=count, seconds=seconds, log=str(log)))
    options = ["-n", str(workers), "--dist", "loadscope", "--no-loadscope-reorder"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "22 passed" in done.stdout, done.stdout + done.stderr
    ran = [
        Ran(scope_of(nodeid), float(began), float(ended))
        for nodeid, began, ended in map(str.split, log.read_text().splitlines())
    ]
    by = {scope: [one for one in ran if one.scope == scope] for scope in (*CHAINS, ALONE)}
    for one in by[ALONE]:
        assert not any(one.overlaps(other) for other in ran if other is not one)
    for chain in CHAINS:
        assert not any(a.overlaps(b) for a in by[chain] for b in by[chain] if a is not b)
    assert any(a.overlaps(b) for a in by["hosts"] for b in by["beside"]), "chains go side by side"
