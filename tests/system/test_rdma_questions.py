"""What each QEMU says of RDMA when it is asked without a device: what it refuses with it, and that asking does it no harm."""

import asyncio
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labctl.lab.fake.node import RDMA_PORT
from labctl.node import probe, rdma
from labctl.node.describe.limits import can_raise_memlock, limit
from labctl.node.machine import Machine
from tests.qemus import VERSIONS, need_qemu

pytestmark = [pytest.mark.qemu]

MULTI = "Migration requires multi-channel URIs (e.g. tcp)"
REFUSED: dict[str, dict[str, str]] = {
    "7.2": {},
    "10.0": {
        "destination:rdma+xbzrle": "RDMA and XBZRLE can't be used together",
        "source:multifd+rdma": MULTI,
        "destination:multifd+rdma": MULTI,
    },
    "11.1": {
        "source:postcopy-ram+rdma": "RDMA and postcopy-ram can't be used together",
        "destination:postcopy-ram+rdma": "RDMA and postcopy-ram can't be used together",
        "source:rdma+xbzrle": "RDMA and XBZRLE can't be used together",
        "destination:rdma+xbzrle": "RDMA and XBZRLE can't be used together",
        "source:multifd+rdma": MULTI,
        "destination:multifd+rdma": MULTI,
    },
}
"""10.0 refuses XBZRLE at the destination alone"""
ASKED = [
    ["multifd", "rdma"], ["postcopy-ram"], ["postcopy-ram", "rdma"], ["rdma", "xbzrle"], ["rdma", "rdma-pin-all"],
    ["multifd"], ["nothing-of-this-name", "rdma"],
]  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_qemu_refuses_with_rdma_it_says(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = _probe(need_qemu(version), tmp_path, monkeypatch, RDMA_PORT)
    assert said["rdma"] is True
    assert said["rdma_port"] == RDMA_PORT
    assert {key: words for key, words in said["refused"].items() if "rdma" in key} == REFUSED[
        version
    ]
    # Plain questions are asked of a QEMU that has not heard of RDMA yet, which 7.2 would remember.
    assert not {"source:multifd", "destination:multifd"} & said["refused"].keys()


def test_without_a_device_no_combination_with_rdma_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = _probe(need_qemu("11.1"), tmp_path, monkeypatch, None)
    assert said["rdma_port"] is None
    assert said["rdma"] is True
    assert not [key for key in said["refused"] if "rdma" in key]


def _probe(
    qemu: str, directory: Path, monkeypatch: pytest.MonkeyPatch, port: dict[str, Any] | None
) -> dict[str, Any]:
    monkeypatch.setattr(rdma, "find", lambda _interface: port)
    return asyncio.run(probe.probe(qemu, "pc", ASKED, directory, interface="mig0"))


LITTLE_BYTES = 64 << 10


@pytest.fixture
def hard_limit() -> Iterator[int]:
    """What the limit of locked memory may be raised to, while little is in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (LITTLE_BYTES, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))


@pytest.mark.parametrize("locks", [False, True])
def test_a_qemu_that_locks_memory_may_lock_all_that_can_be_had(
    locks: bool, hard_limit: int, tmp_path: Path
) -> None:
    spec = {
        "name": "locks", "qemu": need_qemu("7.2"), "machine_type": "none", "accelerator": "tcg", "locks_memory": locks,
    }  # fmt: skip

    async def started() -> int | str | None:
        machine = await Machine.start(spec, tmp_path / "log", probe.START_TIMEOUT_S)
        try:
            return machine.memlock_bytes()
        finally:
            await machine.end()

    most = "unlimited" if can_raise_memlock() else limit(hard_limit)
    assert asyncio.run(started()) == (most if locks else LITTLE_BYTES)
