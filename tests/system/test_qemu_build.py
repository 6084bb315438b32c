"""The build of a QEMU that runs."""

import asyncio
import hashlib
import shutil
from pathlib import Path

import pytest

from labctl.node import probe

pytestmark = [pytest.mark.root, pytest.mark.qemu]

LOADER = "/lib64/ld-linux-x86-64.so.2"


def test_the_build_of_a_qemu_is_that_of_the_file_that_runs_also_behind_a_loader(
    tmp_path: Path,
) -> None:
    """QEMU of another suite is started by a script, by the loader of its own tree."""
    qemu = Path(shutil.which("qemu-system-x86_64") or "").resolve()
    script = tmp_path / "qemu"
    # It looks for its modules beside the program of its process, which is the loader then.
    script.write_text(
        f'#!/bin/sh\nQEMU_MODULE_DIR=/usr/lib/x86_64-linux-gnu/qemu exec {LOADER} {qemu} "$@"\n'
    )
    script.chmod(0o755)
    said = [asyncio.run(probe.probe(str(path), "pc", [], tmp_path)) for path in (qemu, script)]
    wanted = {
        "sha256": hashlib.sha256(qemu.read_bytes()).hexdigest(),
        "size_bytes": qemu.stat().st_size,
    }
    for one in said:
        assert wanted.items() <= one["build"].items()
        assert "tcg" in one["build"]["accelerators"]
