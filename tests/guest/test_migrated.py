"""A guest that was moved while it wrote is whole, goes on counting, and says so itself."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from labctl.node.beats import PHASE_RUN
from tests.guest.machine import MIB, Guest

Boot = Callable[..., Guest]
pytestmark = pytest.mark.qemu

LIMIT_S = 60
# Not a multiple of 256 KiB: under TCG, QEMU before 9.0 loses writes otherwise (see the guest's page).
MEMORY_BYTES = 128 * MIB + 8 * 1024


def migrate(source: Guest, destination: Guest, uri: str, *, postcopy: bool) -> None:
    """Returns when the source has let go."""
    wanted = [{"capability": "postcopy-ram", "state": postcopy}]
    for guest in (source, destination):
        guest.qmp("migrate-set-capabilities", capabilities=wanted)
    destination.qmp("migrate-incoming", uri=uri)
    source.qmp("migrate-set-parameters", **{"max-bandwidth": 200 * MIB, "downtime-limit": 300})
    source.qmp("migrate", uri=uri)
    if postcopy:
        while source.qmp("query-migrate").get("ram", {}).get("dirty-sync-count", 0) < 3:
            time.sleep(0.02)  # precopy rounds first: what changed in them must come over too
        source.qmp("migrate-start-postcopy")
    deadline = time.monotonic() + LIMIT_S
    while (status := source.qmp("query-migrate")["status"]) != "completed":
        assert status not in {"failed", "cancelled"}
        assert time.monotonic() < deadline, f"still {status} after {LIMIT_S} s"
        time.sleep(0.02)


def may_catch_page_faults() -> bool:
    sysctl = Path("/proc/sys/vm/unprivileged_userfaultfd")
    return os.geteuid() == 0 or (sysctl.exists() and sysctl.read_text().strip() == "1")


needs_userfaultfd = pytest.mark.skipif(
    not may_catch_page_faults(), reason="needs root: vm.unprivileged_userfaultfd is 0"
)


@pytest.mark.parametrize(
    ("postcopy", "rate"),
    [(False, 40 * MIB), pytest.param(True, 400 * MIB, marks=needs_userfaultfd)],
    ids=["precopy", "postcopy"],
)
@pytest.mark.parametrize("vcpus", [1, 2])
def test_whole_after_a_migration(boot: Boot, postcopy: bool, rate: int, vcpus: int) -> None:
    append = f"ws={32 * MIB} rate={rate}"
    source = boot(append, memory_bytes=MEMORY_BYTES, vcpus=vcpus)
    destination = boot(append, memory_bytes=MEMORY_BYTES, vcpus=vcpus, incoming="defer")
    source.phase(PHASE_RUN)
    source.run_for(0.2)
    migrate(source, destination, f"unix:{destination.directory}/migration", postcopy=postcopy)
    destination.phase(PHASE_RUN)
    report = destination.check()
    assert report.pages_checked * 4096 == source.hello().checked_bytes
    assert (report.pages_bad, report.work_regressed, report.seq_regressed) == (0, 0, 0)

    before, after = source.beats()[-1][1], destination.beats()[0][1]
    assert after.seq in {before.seq + 1, before.seq + 2}  # one may be cut in two by the move
    assert all(b >= a for a, b in zip(before.work, after.work, strict=True))
    assert after.tsc > before.tsc
    address = source.hello().ws_start + 5 * MIB + 17
    destination.flip(address)
    assert destination.check().pages_bad == 1
