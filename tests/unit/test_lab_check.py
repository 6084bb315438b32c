"""What `lab check` makes of what a host says of itself."""

from typing import Any

import pytest

from labctl.lab.checking import LEAST_MEMLOCK_BYTES, LEAST_ROOM_BYTES, Finding, _limits

PLENTY = {"state_free_bytes": 1 << 40, "cache_free_bytes": 1 << 40}


def limits(locked: Any, *, rdma: bool, agent: dict[str, int] | None = None) -> list[Finding]:
    described = {"limits": {"memlock_soft_bytes": locked}, "agent": PLENTY | (agent or {})}
    return list(_limits("h1", described, needs_locking=rdma))


@pytest.mark.parametrize("rdma", [False, True])
def test_memory_that_may_not_be_locked_is_a_fault_where_there_is_rdma(rdma: bool) -> None:
    (found,) = limits(64 * 1024, rdma=rdma)
    assert found.ok is not rdma
    assert found.detail.startswith("64 KiB of memory may be locked")
    assert "role hypervisor" in (found.mend or "")


@pytest.mark.parametrize("locked", ["unlimited", LEAST_MEMLOCK_BYTES, None])
def test_enough_is_no_finding(locked: Any) -> None:
    assert limits(locked, rdma=True) == []


@pytest.mark.parametrize("what", ["state", "cache"])
def test_no_room_is_a_fault(what: str) -> None:
    (found,) = limits("unlimited", rdma=False, agent={f"{what}_free_bytes": LEAST_ROOM_BYTES - 1})
    assert not found.ok
    assert found.detail == f"{(LEAST_ROOM_BYTES - 1) // 1024} KiB are left for the agent's {what}"
