"""Two real pairs side by side, one of them lost in the middle: this machine's embedded lab, twice."""

import threading
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from labctl.campaign import make_plan
from labctl.controller import Controller, keeping
from labctl.errors import NodeError
from labctl.events import Event, PairReturned, PairSetAside, StateEntered, TrialEnded, TrialStarted
from labctl.lab import Pair
from labctl.lab.embedded import EmbeddedOpener
from labctl.lab.inventory import read_lab
from labctl.lab.lab import Lab
from labctl.lab.probing import NO_QUESTIONS
from labctl.results import RunStore, load_run
from tests.system.bench import campaign
from tests.system.processes import of_state_root

pytestmark = [pytest.mark.root, pytest.mark.qemu, pytest.mark.slow, pytest.mark.timeout(300)]

PAIRS = ("a-b", "c-d")
# A guest that writes nothing has a valid load on any machine, so every trial completes.
CAMPAIGN = campaign(
    name="pairs",
    guest={"working_set": "4MiB"},
    matrix={"algorithm": ["precopy", "postcopy", "hybrid"]},
    repetitions=4,
    warmups=1,
)


@dataclass
class Opener:
    """The embedded lab's pair by another name; it cannot be opened while it is down."""

    name: str
    down: threading.Event

    def __call__(self) -> Pair:
        if self.down.is_set():
            raise NodeError("no route to it", place=f"host of {self.name}", mend="switch it on")
        opener = EmbeddedOpener(read_lab("local"), f"pairs-{self.name}", False, False, NO_QUESTIONS)
        return replace(opener(), name=self.name)


class Outage:
    """Kills the agents of a pair in its second trial, and lets it be opened again when the other has done one more."""

    def __init__(self, root: Path, down: threading.Event) -> None:
        self.events: list[Event] = []
        self.together = 0
        self._root = root
        self._down = down
        self._running: dict[int, str] = {}
        self._begun: Counter[str] = Counter()

    def handle(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, TrialStarted):
            self._running[event.number] = event.pair
            self._begun[event.pair] += 1
            self.together = max(self.together, len(set(self._running.values())))
        elif isinstance(event, TrialEnded):
            pair = self._running.pop(event.number)
            if pair == "a-b" and any(isinstance(e, PairSetAside) for e in self.events):
                self._down.clear()
        elif isinstance(event, StateEntered) and event.state == "baseline":
            pair = self._running[event.number]
            if (pair, self._begun[pair]) == ("c-d", 2):
                self._down.set()
                for process in of_state_root(self._root):
                    if process.is_agent and "pairs-c-d" in process.argv:
                        process.kill()


def test_two_pairs_run_side_by_side_and_one_is_lost_and_returns(
    state_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "OPENING_PAUSES_S", (0.1,) * 3)
    monkeypatch.setattr(keeping, "REST_S", 0.5)
    down = threading.Event()
    outage = Outage(state_root, down)
    openers = {name: Opener(name, down if name == "c-d" else threading.Event()) for name in PAIRS}
    with Lab("twice", openers) as lab:
        plan = make_plan(CAMPAIGN, {name: pair.capabilities() for name, pair in lab.pairs.items()})
        with RunStore.create(tmp_path, CAMPAIGN, plan, lab.environment()) as store:
            summary = Controller(CAMPAIGN, plan, lab, store, [outage]).run()
    assert (summary.exit_code, summary.left, summary.aside) == (0, 0, {})
    assert dict(summary.outcomes) == {"completed": 12}
    assert outage.together == 2

    (aside,) = [event for event in outage.events if isinstance(event, PairSetAside)]
    assert (aside.pair, aside.fault, aside.working) == ("c-d", "host of c-d: no route to it", 1)
    assert [event.pair for event in outage.events if isinstance(event, PairReturned)] == ["c-d"]
    run = load_run(store.path)
    records = [trial.record for trial in run.trials()]
    assert [record.number for record in records] == [trial.number for trial in plan.trials]
    assert Counter(record.pair for record in records if record.warmup) == Counter(PAIRS)
    (cut,) = [record for record in records if record.attempt == 2]
    assert run.attempts(cut.number)[0].record.pair == "c-d"
    assert cut.pair == "a-b"
    blocks = {record.block: set[str | None]() for record in records if not record.warmup}
    for record in records:
        if not record.warmup:
            blocks[record.block].add(record.pair)
    assert all(len(pairs) == 1 for block, pairs in blocks.items() if block != cut.block)
