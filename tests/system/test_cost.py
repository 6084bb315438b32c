"""What sampling and observing cost: at most a tenth of a core each, and samples come when they are due."""

import pytest

from benchmarks import cost
from labctl.campaign import expand
from labctl.lab import Pair
from labctl.node.sampler import PERIOD_S
from tests.system.bench import BUSY_TRIES, campaign

pytestmark = [pytest.mark.root, pytest.mark.qemu, pytest.mark.slow]

MOST_SHARE = 0.10
MOST_P99_MS = 20
"""A busy machine takes a turn of its scheduler: 10.4 to 16 ms were measured on two cores that did other work too."""


def test_sampling_and_beats_cost_a_tenth_of_a_core_at_most(pair: Pair) -> None:
    """Over seconds of a precopy that does not converge; of a few tries the best counts, as others use the machine."""
    asked = campaign(
        guest={"working_set": "32MiB", "write_rate": "40MiB/s"},
        link={"bandwidth": "200Mbit/s"},
        limits={"total_time": "4s"},
    )
    (cell,) = expand(asked)
    for _ in range(BUSY_TRIES):
        found, raw = cost.of_trial(pair, cell, asked.timing)
        if found is None:
            assert raw.outcome == "invalid_load", raw.reason
            continue
        print(cost.table(found))
        assert raw.outcome == "not_converged", raw.reason
        assert found.seconds > 3
        for gaps in found.gaps.values():
            assert gaps.p50_ms == pytest.approx(PERIOD_S * 1000, abs=0.5)
        cheap = all(share <= MOST_SHARE for share in found.cpu_share.values())
        even = all(found.gaps["source", kind].p99_ms < MOST_P99_MS for kind in cost.KINDS)
        if cheap and even and found.beats_per_s > 1000:
            break
    else:
        pytest.fail(cost.table(found) if found else "the machine is too busy for the load")
