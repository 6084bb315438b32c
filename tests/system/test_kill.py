"""Signals at random moments, to the controller and to nodes: no trial is lost, renumbered or repeated."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from labctl.campaign import dump_campaign
from labctl.controller.run import MAX_ATTEMPTS
from labctl.results import list_runs, load_run
from labctl.results.layout import UNFINISHED, trial_folders
from labctl.results.schema import Outcome
from tests.system.bench import campaign
from tests.system.conftest import assert_nothing_left
from tests.system.processes import Process, of_state_root

pytestmark = [pytest.mark.root, pytest.mark.qemu, pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = 30
GOES_AT_MOST = 80
GO_S = 120.0
# A guest that writes nothing has a valid load on any machine, so every trial completes.
CAMPAIGN = campaign(
    name="killed",
    guest={"working_set": "4MiB"},
    matrix={"algorithm": ["stop_and_copy", "precopy", "postcopy", "hybrid"]},
    timing={"baseline": "200ms", "settle": "100ms"},
    repetitions=6,  # so many that the kills, of which some wait for results, are over first
    warmups=1,
)
MOMENTS = (None,) * 10 + (0,) * 14 + (1,) * 5 + (2,)
"""Of each kill: None, at any moment of the start; else while a trial runs, so many having ended since the start."""
assert len(MOMENTS) == KILLS
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
INTO_START_S, INTO_TRIAL_S = 3.0, 1.2
ENDS_S = 30.0
"""a controller that was asked to end gives its trial some seconds, then closes the nodes"""


class Campaigning:
    """A campaign on the command line, again and again until it is done."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.root = root
        self.out = folder / "runs"
        self._file = folder / "killed.yaml"
        self._file.write_text(dump_campaign(CAMPAIGN))
        self._log = folder / "log"
        self.plan: str | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def run(self) -> Path | None:
        """The run's folder, once there is one; there is never a second."""
        runs = list_runs(self.out)
        assert len(runs) <= 1
        return runs[0].path if runs else None

    def go(self) -> subprocess.Popen[bytes]:
        """Run it, or go on with it."""
        run = self.run
        what = [str(self._file)] if run is None else ["--resume", run.name]
        command = [sys.executable, "-m", "labctl", "run", *what, "--out", str(self.out)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self.process

    @property
    def results(self) -> int:
        """How many trials have a result."""
        run = self.run
        return sum(found.attempt is None for found in trial_folders(run)) if run else 0

    def wait_for_a_trial(self, ended: int = 0) -> bool:
        """Wait until so many more trials have a result and another has its machine; False when the process
        ended first.
        """
        assert self.process is not None
        wanted = self.results + ended
        deadline = time.monotonic() + GO_S
        while self.process.poll() is None:
            if self.results >= wanted and any(
                p.is_qemu and p.role == "source" for p in of_state_root(self.root)
            ):
                return True
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)
        return False

    def agents(self) -> list[Process]:
        """Its living nodes."""
        roles = {"a", "b", "observer"}
        return [p for p in of_state_root(self.root) if p.is_agent and p.role in roles]

    def said(self) -> str:
        return self._log.read_text()[-4000:]

    def check_as_it_stands(self) -> None:
        """Whatever happened: the plan is the same, and each trial has one result at most."""
        run = self.run
        if run is None:
            return
        text = (run / "plan.json").read_text()
        self.plan = self.plan or text
        assert text == self.plan
        results = Counter(found.number for found in trial_folders(run) if found.attempt is None)
        assert set(results.values()) <= {1}

    def finish(self) -> None:
        """Go on until it says that it is done, and look at what there is."""
        for _ in range(GOES_AT_MOST):
            if self.go().wait(GO_S) == 0:
                break
        else:
            pytest.fail(f"it never came to its end:\n{self.said()}")
        self.check_as_it_stands()
        assert self.run is not None
        run = load_run(self.run)
        assert {f"{t.number:04d}-{t.cell}" for t in run.plan.trials} == {
            trial.path.name for trial in run.trials()
        }
        for trial in run.trials():
            record = trial.record
            assert (record.outcome, record.name) == (Outcome.COMPLETED, trial.path.name)
            attempts = run.attempts(record.number)
            assert record.attempt == len(attempts) + 1
            for number, attempt in enumerate(attempts, start=1):
                assert attempt.path.name == f"{record.name}.attempt{number}"
                assert attempt.record.outcome == Outcome.INTERRUPTED
                assert attempt.record.reason
        assert len(run.frame()) == len([t for t in run.plan.trials if not t.warmup])
        everything = [path.name for path in self.run.rglob("*")]
        assert not [n for n in everything if n.startswith(UNFINISHED) or n.endswith(".new")]
        assert_nothing_left(self.root)


@pytest.fixture
def campaigning(tmp_path: Path, state_root: Path) -> Iterator[Campaigning]:
    # Ctrl-C is not heard by what is started where it is ignored, in a script's background say.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    going = Campaigning(tmp_path, state_root)
    yield going
    signal.signal(signal.SIGINT, before)
    if going.process is not None and going.process.poll() is None:  # the test has failed
        going.process.kill()
        going.process.wait(ENDS_S)


@pytest.fixture
def chance() -> random.Random:
    """A seed of its own each time, printed, so that what was found can be found again."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


def test_a_killed_controller_is_resumed(campaigning: Campaigning, chance: random.Random) -> None:
    for number, ended in enumerate(chance.sample(MOMENTS, KILLS), start=1):
        process = campaigning.go()
        if ended is not None:
            campaigning.wait_for_a_trial(ended)
        moment_s = chance.uniform(0, INTO_START_S if ended is None else INTO_TRIAL_S)
        time.sleep(moment_s)
        sent = chance.choice(SIGNALS)
        process.send_signal(sent)
        process.wait(ENDS_S)
        into = "its start" if ended is None else "a trial"
        print(
            f"kill {number}: {sent.name} {moment_s:.2f} s into {into}, {campaigning.results} results"
        )
        assert_nothing_left(campaigning.root)
        campaigning.check_as_it_stands()
    campaigning.finish()


def test_killed_nodes_cost_an_attempt_and_no_trial(
    campaigning: Campaigning, chance: random.Random
) -> None:
    """The controller starts them again by itself, or ends and is resumed where they die too early."""
    moments, began = chance.sample(MOMENTS, KILLS), time.monotonic()
    kills, hit = 0, Counter[int]()
    for _ in range(GOES_AT_MOST):
        process = campaigning.go()
        while kills < KILLS and process.poll() is None:
            ended = moments[kills]
            if hit[campaigning.results] >= MAX_ATTEMPTS - 2:
                ended = 1  # a trial that always loses its node is given up, rightly
            if ended is not None:
                campaigning.wait_for_a_trial(ended)
            time.sleep(chance.uniform(0, INTO_TRIAL_S))
            agents = campaigning.agents()
            if not agents:
                continue
            agent = chance.choice(agents)
            agent.kill()
            kills += 1
            hit[campaigning.results] += 1
            at_s = time.monotonic() - began
            print(f"kill {kills}: {at_s:.0f} s, node {agent.role}, {campaigning.results} results")
        if kills == KILLS:
            break
        assert process.wait(GO_S) != 0, f"the campaign was over after {kills} kills"
        campaigning.check_as_it_stands()
    status = process.wait(GO_S)
    print(f"exit status after the last kill: {status}")
    assert kills == KILLS
    campaigning.check_as_it_stands()
    campaigning.finish()
    assert campaigning.run is not None
    interrupted = sum(found.attempt is not None for found in trial_folders(campaigning.run))
    assert interrupted > 0, "no kill hit a trial"
