"""Two pairs of real hosts over SSH. Every trial must complete, so they have the machine to themselves."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from labctl import api
from labctl.events import Event, PairSetAside, TrialEnded, TrialStarted
from tests.hosts import Hosts
from tests.system.bench import campaign
from tests.system.rack import succeeded

pytestmark = [pytest.mark.hosts, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]


SHORT = campaign(
    name="short",
    matrix={"algorithm": ["precopy", "postcopy"]},
    repetitions=4,
)


class Heard:
    """All that is told of a run; `then` is done at the first event that it says yes to."""

    def __init__(
        self,
        when: Callable[[Event], bool] = lambda _: False,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        self.events: list[Event] = []
        self._when = when
        self._then = then

    def handle(self, event: Event) -> None:
        self.events.append(event)
        if self._when(event):
            self._when = lambda _: False
            self._then()


def most_at_once(events: Iterable[Event]) -> int:
    """How many trials were under way at the same time."""
    most = now = 0
    for event in events:
        now += isinstance(event, TrialStarted) - isinstance(event, TrialEnded)
        most = max(most, now)
    return most


def test_two_pairs_run_side_by_side(two_pairs: str, tmp_path: Path) -> None:
    heard = Heard()
    result = api.run(SHORT, lab=two_pairs, out=tmp_path, observers=[heard])
    frame = succeeded(result).frame()
    assert (frame["outcome"].astype(str) == "completed").all()
    counts = frame.groupby(["pair", "cell"], observed=True).size()
    assert set(frame["pair"].astype(str)) == {"h1-h2", "h3-h4"}
    assert (counts == 2).all(), "each pair has run each cell equally often"
    assert most_at_once(heard.events) == 2


def test_a_host_that_is_gone_for_good_costs_its_pair(
    hosts: Hosts, two_pairs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is set aside and told, and its trials go to the other pair."""
    monkeypatch.setattr("labctl.controller.keeping.OPENING_PAUSES_S", (0.5,) * 3)

    def on_the_second(event: Event) -> bool:
        return isinstance(event, TrialStarted) and event.pair == "h3-h4"

    heard = Heard(on_the_second, hosts["h3"].kill)
    result = api.run(SHORT, lab=two_pairs, out=tmp_path, observers=[heard])
    hosts["h3"].boot()
    frame = succeeded(result).frame()
    (aside,) = (event for event in heard.events if isinstance(event, PairSetAside))
    assert (aside.pair, aside.working) == ("h3-h4", 1)
    assert "h3" in aside.fault
    assert aside.mend is not None
    assert len(frame) == 8
    assert (frame["outcome"].astype(str) == "completed").all()
    assert "h1-h2" in set(frame["pair"].astype(str))
