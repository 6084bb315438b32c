"""What measures labs over SSH, on real hosts: it sees the right connections and processes, and what it opened goes on to work."""

from pathlib import Path

import pytest

from benchmarks import agents, cost, pairs, provisioning
from benchmarks.lab import opened, pair_of
from labctl.campaign import expand
from tests.hosts import Hosts
from tests.system.bench import BUSY_TRIES, campaign

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.root,
    pytest.mark.qemu,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

SHORT = campaign(
    guest={"working_set": "32MiB", "write_rate": "40MiB/s"},
    link={"bandwidth": "100Mbit/s"},
    limits={"total_time": "2s"},
)
"""It does not converge."""


def test_the_agent_is_most_of_what_is_sent_and_only_once(hosts: Hosts, pair: str) -> None:
    for host in hosts:
        host.run("rm -rf ~/.cache/labctl")
    first, again = (provisioning.begin(hosts, pair, SHORT) for _ in ("first", "again"))
    for before, after in zip(first, again, strict=True):
        assert before.first
        assert not after.first
        assert after.sent_bytes > 10_000  # the guest's image, for one
        assert before.sent_bytes - after.sent_bytes == pytest.approx(before.agent_bytes, rel=0.05)


def test_the_agents_of_a_trial_are_those_that_are_metered(hosts: Hosts, pair: str) -> None:
    (cell,) = expand(SHORT)
    with opened(SHORT, name=pair) as lab:
        ends = pair_of(lab)
        pids = agents.processes(hosts, ends, "reverse")
        for name, pid in pids.items():
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            assert any(word.endswith(".pyz") for word in words), words
            assert ("beats" in words) is name.endswith("beats"), words
        assert len(set(pids.values())) == len(pids)
        for _ in range(BUSY_TRIES):
            found, raw = cost.of_trial(ends, cell, SHORT.timing, "reverse", pids)
            if found is not None:
                break
        else:
            pytest.fail("the machine is too busy for the load of any trial")
    assert raw.outcome == "not_converged", raw.reason
    assert found.seconds > 1
    assert set(found.cpu_share) == set(pids)
    assert all(0 < share < 1 for share in found.cpu_share.values())


def test_a_plan_runs_on_some_pairs_of_a_lab_again_and_again(pair: str) -> None:
    asked = campaign(algorithm="stop_and_copy", guest={"memory": "32MiB", "working_set": "1MiB"})
    with opened(asked, name=pair) as lab:
        runs = [pairs.run(lab, tuple(lab.pairs), asked) for _ in ("first", "again")]
        assert not pair_of(lab).lost
    for run in runs:
        ((trial_s,), (link_s,)) = run.trials_s, run.links_s
        assert 0 < link_s < trial_s <= run.wall_s
