"""Campaigns on a fake lab, everything between the nodes and the results directory real."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from labctl.campaign import Campaign, Plan, make_plan
from labctl.campaign.specs import TimingSpec
from labctl.controller import Controller, Summary
from labctl.events import (
    Event,
    Notice,
    Observer,
)
from labctl.lab.fake import CAPABILITIES, FakeLab, Script, fake_lab
from labctl.lab.fake.lab import Openings, Scripts
from labctl.results import RunStore, load_run
from labctl.results.run import Run

SHORT = TimingSpec.model_construct(baseline_s=0.01, settle_s=0.01)
"""Shorter than a campaign may ask for: fake machines need no rest."""


def campaign(**changes: Any) -> Campaign:
    """One cell, one repetition, no warm-up, unless told."""
    known: dict[str, Any] = {
        "name": "fakes",
        "guest": {"memory": "64MiB", "working_set": "16MiB", "write_rate": "40MiB/s"},
        "link": {"bandwidth": "1Gbit/s"},
        "repetitions": "1",
        "warmups": "0",
    }
    made = Campaign.model_validate({**known, **changes})
    return made.model_copy(update={"timing": SHORT})


def forward(plan: Plan) -> Plan:
    """The same plan, each trial from the first host to the second."""
    trials = [trial.model_copy(update={"direction": "forward"}) for trial in plan.trials]
    return plan.model_copy(update={"trials": tuple(trials)})


class Told:
    """An observer that remembers, and may do something at an event."""

    def __init__(self, at: Callable[[Event], None] = lambda _event: None) -> None:
        self.events: list[Event] = []
        self._at = at

    def handle(self, event: Event) -> None:
        self.events.append(event)
        self._at(event)

    def of(self, *kinds: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]

    @property
    def notices(self) -> str:
        return "\n".join(notice.text for notice in self.of(Notice))


class Session:
    """A run in a directory, over and over, each time with a lab of its own."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self.told = Told()
        self.labs: list[FakeLab] = []
        self.directory: Path | None = None

    def run(
        self,
        scripts: Scripts = (),
        asked: Campaign | None = None,
        *,
        pairs: tuple[str, ...] = ("a-b",),
        openings: Openings = (),
        told: Told | None = None,
        plan: Plan | None = None,
        observers: Sequence[Observer] = (),
        **options: Any,
    ) -> Summary:
        asked = asked or campaign()
        several = pairs if len(pairs) > 1 else ()
        able = dict.fromkeys(several, (CAPABILITIES, CAPABILITIES))
        plan = plan or forward(make_plan(asked, able))
        self.told = told or Told()
        lab = fake_lab(scripts, pairs=pairs, openings=openings)
        self.labs.append(lab)
        with lab:
            store = (
                RunStore.create(self._out, asked, plan, {})
                if self.directory is None
                else RunStore.resume(self.directory)
            )
            with store:
                self.directory = store.path
                return Controller(asked, plan, lab, store, [self.told, *observers], **options).run()

    @property
    def stored(self) -> Run:
        assert self.directory is not None
        return load_run(self.directory)


def times(count: int, script: Script | None = None) -> list[Script]:
    return [script or Script()] * count
