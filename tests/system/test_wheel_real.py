"""The wheel, installed in an environment of its own, runs a real trial far from the checkout.

Offline: what labctl stands on is borrowed from the environment of the tests (its packages by a `.pth` file, Ansible's
programs by links); labctl itself is installed from the wheel, and nothing of the checkout can be imported.
"""

import json
import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.system.test_cli_run import TINY, environment

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.root,
    pytest.mark.qemu,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("state_root"),
]

LOOK = """
import json, sys
import labctl, labctl.data, labctl.guest.build as build
print(json.dumps({
    "labctl": labctl.__file__,
    "data": [str(labctl.data.data_path(n)) for n in ("playbooks/local.yml", "inventory/local", "campaigns")],
    "guest": str(build.IMAGE), "guest there": build.IMAGE.is_file(),
    "checkout": [p for p in sys.path if p == sys.argv[1]],
}))
"""


def run(*args: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        list(map(str, args)),
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment that the wheel is installed in."""
    where = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        where,
        cwd=ROOT,
    )
    (wheel,) = where.glob("*.whl")
    venv.create(where / "venv")
    (packages,) = (where / "venv" / "lib").glob("python*/site-packages")
    # A folder in a `.pth` file is searched, and its own `.pth` files (an editable labctl) are not read.
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    for program in Path(sys.executable).parent.glob("ansible*"):
        (where / "venv" / "bin" / program.name).symlink_to(program)
    python = where / "venv" / "bin" / "python"
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*pip, "--no-deps", "--no-index", "--ignore-installed", wheel, cwd=where, env=env)
    return where / "venv"


def test_a_trial_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    env = {k: v for k, v in environment().items() if k != "PYTHONPATH"}
    env["PATH"] = f"{installed / 'bin'}:{Path(sys.executable).parent}:{env['PATH']}"
    labctl = installed / "bin" / "labctl"

    found = json.loads(run(installed / "bin" / "python", "-c", LOOK, ROOT, cwd=tmp_path, env=env))
    own = str(installed)
    assert found["labctl"].startswith(own)
    assert found["guest"].startswith(own)
    assert found["guest there"]
    assert all(path.startswith(own) for path in found["data"])
    assert found["checkout"] == []

    (tmp_path / "tiny.yaml").write_text(TINY)
    assert "2 trials: 2 completed" in run(labctl, "run", "tiny.yaml", cwd=tmp_path, env=env)
    rows = json.loads(run(labctl, "results", "--format", "json", cwd=tmp_path, env=env))
    assert [row["memory_identical"] for row in rows] == [True, True]
    assert "wrote first.yaml" in run(labctl, "init", "first", cwd=tmp_path, env=env)
