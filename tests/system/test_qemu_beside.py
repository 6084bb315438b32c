"""QEMU of other suites beside the host's own: what the role leaves, and that its program is QEMU."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from labctl.data import data_path
from tests.qemus import SUITES, need_qemu

pytestmark = [pytest.mark.root, pytest.mark.qemu, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_second_run_changes_nothing() -> None:
    for version in SUITES:
        need_qemu(version)
    root = data_path("playbooks").parent
    done = subprocess.run(
        ["ansible-playbook", "-i", str(root / "inventory" / "local"), str(data_path("playbooks/qemu_beside.yml"))],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_NOCOLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "changed=0" in done.stdout


@pytest.mark.parametrize("version", SUITES)
def test_nothing_in_the_tree_has_the_rights_of_root(version: str) -> None:
    tree = Path(need_qemu(version)).parent / "tree"
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 1000
    assert [path for path in files if path.stat().st_mode & 0o6000] == []


@pytest.mark.parametrize("version", SUITES)
def test_the_program_becomes_qemu_also_for_a_plain_user(version: str) -> None:
    """It keeps the pid that it was started with, so that what ends that pid ends QEMU."""
    plain = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"]
    command = [*plain, need_qemu(version), "-machine", "none", "-display", "none", "-qmp", "stdio"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as qemu:
        assert qemu.stdin is not None
        assert qemu.stdout is not None
        said = json.loads(qemu.stdout.readline())["QMP"]["version"]["qemu"]
        assert f"{said['major']}.{said['minor']}" == version
        argv = Path(f"/proc/{qemu.pid}/cmdline").read_bytes().split(b"\0")
        assert b"-machine" in argv
        assert b"ld-linux" in argv[0]
        assert "Uid:\t65534" in Path(f"/proc/{qemu.pid}/status").read_text()
        # It heeds signals once its main loop runs, which is when it answers; its greeting comes before.
        qemu.stdin.write(b'{"execute": "qmp_capabilities"}\n')
        qemu.stdin.flush()
        assert json.loads(qemu.stdout.readline()) == {"return": {}}
        os.kill(qemu.pid, signal.SIGTERM)
        assert qemu.wait(20) == 0
