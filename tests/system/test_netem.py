"""Delay and loss on a kernel that has netem: a link has the rate, the delay and the loss that were asked."""

import json
import math
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from labctl import api
from labctl.node import shaping
from tests.system.bench import campaign

pytestmark = [pytest.mark.root, pytest.mark.slow]

LATE_MS = 5.0
"""a busy machine, or an emulated one, takes so much longer for a round trip"""
RATE = 0.03
SIGMAS = 4.0


@cache
def missing() -> str | None:
    """Why netem cannot be tried, or None."""
    said = shaping.netem_refused()
    return None if said is None else f"needs netem, the kernel's module sch_netem: {said}"


@pytest.fixture
def netem() -> None:
    reason = missing()
    if reason:
        pytest.skip(reason)


def measured(*shape: float | None) -> dict[str, Any]:
    command = ["unshare", "--net", sys.executable, "-m", "tests.system.far_end", json.dumps(shape)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    print(found)
    return found


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("netem")
@pytest.mark.parametrize(
    ("bits_per_s", "delay_s", "loss"),
    [
        (10_000_000, 0.02, 0.02),
        (50_000_000, 0.005, 0.0),
        (20_000_000, 0.1, 0.01),
        (20_000_000, 0.0, 0.05),
        (None, 0.01, 0.01),
    ],
)
def test_rate_delay_and_loss_are_as_asked(
    bits_per_s: int | None, delay_s: float, loss: float
) -> None:
    found = measured(bits_per_s, delay_s, loss)
    added_ms = found["stream"]["rtt_idle_ms"] - (found["plain"] or {"rtt_idle_ms": 0})["rtt_idle_ms"]  # fmt: skip
    assert -1 < added_ms - 2000 * delay_s < LATE_MS
    assert found["stream"]["largest_packet"] <= 1514, "each packet has its own chance"
    assert found["segments_after"] == shaping.MOST_SEGMENTS
    if bits_per_s is None:
        assert found["shown"]["below"] is None
        return
    assert found["flood"]["bits_per_s"] == pytest.approx(bits_per_s, rel=RATE)
    paced = found["paced"]
    spread = SIGMAS * math.sqrt(loss * (1 - loss) / paced["sent"])
    assert 1 - paced["came"] / paced["sent"] == pytest.approx(loss, abs=spread)
    assert paced["left"] == pytest.approx(paced["came"], abs=3), "the root counts what leaves"
    assert paced["dropped"] == pytest.approx(paced["sent"] - paced["came"], abs=3)
    shown = found["shown"]
    assert shown["qdisc"]["bytes"] == shown["below"]["bytes"]
    assert shown["qdisc"]["qlen"] == shown["below"]["qlen"] == 0


@pytest.mark.qemu
@pytest.mark.usefixtures("netem")
def test_a_migration_over_a_far_and_lossy_link(state_root: Path, tmp_path: Path) -> None:
    asked = campaign(link={"bandwidth": "200Mbit/s", "delay": "5ms", "loss": "0.1%"})
    result = api.run(asked, out=tmp_path)
    (trial,) = api.load_run(result.directory).trials()
    assert trial.record.outcome == "completed", trial.record.reason
    link = trial.record.links["migration"]
    assert (link.delay_s, link.loss) == (0.005, 0.001)
    assert link.rtt_added_ms == pytest.approx(10, abs=LATE_MS)


@pytest.mark.qemu
def test_a_lab_without_netem_refuses_delay_and_says_why(state_root: Path, tmp_path: Path) -> None:
    if missing() is None:
        pytest.skip("the kernel has netem")
    asked = campaign(matrix={"algorithm": ["precopy"], "delay": ["0ms", "5ms"]})
    result = api.run(asked, out=tmp_path)
    frame = api.load_run(result.directory).frame()
    rows = {row["delay"]: row for _, row in frame.iterrows()}
    assert rows["0s"]["outcome"] == "completed"
    assert rows["5ms"]["rule"] == "netem-missing"
    assert "Specified qdisc kind is unknown" in rows["5ms"]["reason"]
