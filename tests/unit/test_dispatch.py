"""Who runs what: properties of the dispatcher under any order of finishes, cuts and pairs that are set aside and return."""

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from labctl.campaign import PlannedTrial
from labctl.controller.dispatch import Dispatcher

PAIRS = ("a-b", "c-d", "e-f", "g-h")
CELLS = ("precopy", "postcopy", "hybrid")
JOIN_S = 20.0


def plan(blocks: int, cells: int = 2, pairs: tuple[str, ...] = ()) -> list[PlannedTrial]:
    """So many blocks, and a warm-up for each of these pairs; every trial takes 10 s."""
    places: list[tuple[str, int, str | None]] = [(CELLS[0], 0, pair) for pair in pairs]
    places += [(cell, block, None) for block in range(1, blocks + 1) for cell in CELLS[:cells]]
    return [
        PlannedTrial(
            number=number,
            cell=cell,
            block=block,
            direction="forward",
            pair=pair,
            warmup=block == 0,
            rule=None,
            reason=None,
            estimate_s=10.0,
        )
        for number, (cell, block, pair) in enumerate(places, start=1)
    ]


def took(trials: Dispatcher, pair: str) -> int | None:
    """The number of the trial that a pair is given now; None for nothing, also where it would wait."""
    with trials._changed:
        while not trials._is_over():
            if (trial := trials._next(pair)) is not None:
                return trial.number
            if not trials._is_done():
                return None
            trials._ask()
    return None


def run_all(trials: Dispatcher, pair: str) -> list[int]:
    """What a pair is given if each trial has its result at once."""
    numbers = []
    while (number := took(trials, pair)) is not None:
        numbers.append(number)
        trials.done(pair)
    return numbers


# --- what it is for ---


def test_a_block_is_one_pairs_and_the_next_one_is_nobodys() -> None:
    trials = Dispatcher(plan(3), PAIRS[:2])
    assert [took(trials, "a-b"), took(trials, "c-d")] == [1, 3]
    trials.done("a-b")
    assert took(trials, "a-b") == 2
    trials.done("a-b")
    assert run_all(trials, "a-b") == [5, 6]
    assert took(trials, "a-b") is None, "it takes nothing from a pair that works"
    trials.done("c-d")
    assert run_all(trials, "c-d") == [4]
    assert trials.take("a-b") is trials.take("c-d") is None


def test_every_pair_is_warmed_up_first_and_alone() -> None:
    trials = Dispatcher(plan(1, pairs=PAIRS[:2]), PAIRS[:2])
    assert run_all(trials, "c-d") == [2, 3, 4]
    assert run_all(trials, "a-b") == [1]


def test_a_block_that_was_begun_is_its_pairs() -> None:
    left = [trial for trial in plan(4) if trial.number not in {1, 3, 5}]
    trials = Dispatcher(left, PAIRS[:3], {1: "c-d", 2: "a-b", 3: "gone"})
    assert [took(trials, pair) for pair in ("e-f", "c-d", "a-b")] == [6, 2, 4]


def test_a_block_that_was_begun_is_not_taken_by_a_pair_that_comes_first() -> None:
    left = [trial for trial in plan(2) if trial.number not in {1, 3}]
    trials = Dispatcher(left, PAIRS[:3], {1: "c-d", 2: "a-b"})
    assert [took(trials, pair) for pair in ("e-f", "c-d", "a-b")] == [None, 2, 4]


def test_a_second_block_that_a_pair_began_waits_for_it_while_there_are_others() -> None:
    left = [trial for trial in plan(4) if trial.number not in {1, 3}]
    trials = Dispatcher(left, PAIRS[:2], {1: "a-b", 2: "a-b"})
    assert took(trials, "a-b") == 2
    assert run_all(trials, "c-d") == [5, 6, 7, 8, 4]


def test_what_a_pair_leaves_comes_first_and_what_was_cut_off_on_it_last() -> None:
    trials = Dispatcher(plan(3), PAIRS[:2])
    assert [took(trials, "a-b"), took(trials, "c-d")] == [1, 3]
    trials.cut("a-b")
    assert took(trials, "a-b") == 1, "tried again at once"
    trials.cut("a-b")
    assert trials.set_aside("a-b") == 1
    trials.done("c-d")
    assert run_all(trials, "c-d") == [4, 2, 5, 6, 1]
    assert trials.cuts == {1: 2}


def test_what_was_cut_off_on_a_pair_goes_to_another_one_if_there_is_any() -> None:
    trials = Dispatcher(plan(2, cells=1), PAIRS[:2])
    assert [took(trials, "a-b"), took(trials, "c-d")] == [1, 2]
    trials.cut("a-b")
    trials.set_aside("a-b")
    trials.take_back("a-b")
    assert took(trials, "a-b") is None, "c-d will try it"
    trials.set_aside("c-d")
    assert run_all(trials, "a-b") == [2, 1], "nobody else can"


def test_the_last_pair_is_not_set_aside_for_a_while() -> None:
    trials = Dispatcher(plan(2), PAIRS[:2])
    assert took(trials, "a-b") == 1
    assert trials.set_aside("c-d", unless_last=True) == 1
    assert trials.set_aside("a-b", unless_last=True) == 0
    assert run_all(trials, "a-b") == [1, 2, 3, 4]


def test_without_a_pair_it_is_over() -> None:
    trials = Dispatcher(plan(2), PAIRS[:2])
    assert took(trials, "a-b") == 1
    assert [trials.set_aside(pair) for pair in PAIRS[:2]] == [1, 0]
    assert not trials.pause(JOIN_S)
    trials.take_back("a-b")
    assert trials.take("a-b") is None


def test_the_warm_ups_of_a_pair_that_is_set_aside_hold_nobody_up() -> None:
    trials = Dispatcher(plan(1, pairs=PAIRS[:2]), PAIRS[:2])
    assert took(trials, "c-d") == 2
    trials.cut("c-d")
    trials.set_aside("c-d")
    assert run_all(trials, "a-b") == [1, 3, 4]
    assert trials.take("a-b") is None


def test_a_pair_that_returns_is_warmed_up_first() -> None:
    trials = Dispatcher(plan(2, pairs=PAIRS[:2]), PAIRS[:2])
    trials.set_aside("c-d")
    trials.take_back("c-d")
    assert run_all(trials, "c-d") == [2, 3, 4, 5, 6]


def test_a_pair_that_returns_goes_on_with_its_own_block() -> None:
    trials = Dispatcher(plan(3), PAIRS[:2])
    assert took(trials, "a-b") == 1
    trials.done("a-b")
    trials.set_aside("a-b")
    trials.take_back("a-b")
    assert took(trials, "c-d") == 3, "what a-b has begun waits for it"
    assert run_all(trials, "a-b") == [2, 5, 6]


def test_what_is_left_is_the_longest_of_the_pairs() -> None:
    trials = Dispatcher(plan(3, pairs=PAIRS[:2]), PAIRS[:2])
    assert trials.left_s() == 50.0
    assert took(trials, "a-b") == 1
    assert trials.left_s() == pytest.approx(50.0, abs=1.0)
    trials.done("a-b")
    trials.set_aside("c-d")
    assert trials.left_s() == 60.0
    assert len(run_all(trials, "a-b")) == 6
    assert trials.left_s() == 0.0


# --- a plan that grows ---


def further(*rounds: int) -> tuple[Callable[[int], list[PlannedTrial]], list[int]]:
    """What adds a block for each pair that works, so many times; and how many worked each time it was asked."""
    left, asked = list(rounds), list[int]()
    first = [100]

    def more(pairs: int) -> list[PlannedTrial]:
        asked.append(pairs)
        cells = left.pop(0) if left else 0
        made = [t for t in plan(pairs, cells) if cells]
        new = [t.model_copy(update={"number": t.number + first[0], "block": t.block + first[0]}) for t in made]  # fmt: skip
        first[0] += 100
        return new

    return more, asked


def test_more_is_asked_for_when_all_is_done_and_not_before() -> None:
    more, asked = further(1, 2)
    trials = Dispatcher(plan(1), PAIRS[:1], more=more)
    assert [took(trials, "a-b"), asked] == [1, []]
    trials.done("a-b")
    assert [took(trials, "a-b"), asked] == [2, []]
    trials.done("a-b")
    assert run_all(trials, "a-b") == [101, 201, 202]
    assert asked == [1, 1, 1], "the last time there was no more"
    assert trials.take("a-b") is None
    assert asked == [1, 1, 1]


def test_each_pair_that_works_has_a_block_of_what_is_added() -> None:
    more, asked = further(2)
    trials = Dispatcher(plan(2, cells=1), PAIRS[:3], more=more)
    assert [took(trials, pair) for pair in PAIRS[:3]] == [1, 2, None]
    trials.set_aside("e-f")
    trials.done("a-b")
    assert took(trials, "a-b") is None, "c-d is not done yet"
    assert asked == []
    trials.done("c-d")
    assert took(trials, "c-d") == 101
    assert took(trials, "a-b") == 103
    assert trials.left_s() == pytest.approx(20.0, abs=1.0)
    assert asked == [2]


def test_a_pair_that_rests_does_not_take_the_run_for_over_before_more_was_asked_for() -> None:
    more, _ = further(1)
    trials = Dispatcher(plan(1, cells=1), PAIRS[:2], more=more)
    assert took(trials, "a-b") == 1
    trials.set_aside("c-d")
    trials.done("a-b")
    assert trials.pause(0.01)
    assert took(trials, "a-b") == 101
    trials.take_back("c-d")
    assert took(trials, "c-d") is None


def test_whoever_fails_to_tell_whether_there_is_more_is_not_asked_again() -> None:
    def more(_pairs: int) -> list[PlannedTrial]:
        raise OSError("no disk")

    trials = Dispatcher([], PAIRS[:1], more=more)
    with pytest.raises(OSError, match="no disk"):
        trials.take("a-b")
    assert trials.take("a-b") is None


def test_a_run_that_is_stopped_does_not_grow() -> None:
    more, asked = further(1)
    trials = Dispatcher(plan(1, cells=1), PAIRS[:1], more=more)
    assert took(trials, "a-b") == 1
    trials.stop()
    trials.done("a-b")
    assert trials.take("a-b") is None
    assert asked == []


# --- waiting ---


def waiting(trials: Dispatcher, call: Callable[[], Any], got: list[Any]) -> threading.Thread:
    """A thread that waits in this call."""
    thread = threading.Thread(target=lambda: got.append(call()))
    waits, real = threading.Event(), trials._changed.wait

    def wait(timeout: float | None = None) -> bool:
        waits.set()
        return real(timeout)

    trials._changed.wait = wait  # type: ignore[method-assign]
    thread.start()
    assert waits.wait(JOIN_S)
    return thread


@pytest.mark.parametrize(
    ("what", "number"), [("set aside", 1), ("cut", 1), ("done", None), ("stopped", None)]
)
def test_whoever_waits_is_woken(what: str, number: int | None) -> None:
    trials = Dispatcher(plan(1, cells=1), PAIRS[:2])
    assert took(trials, "a-b") == 1
    got: list[PlannedTrial | None] = []
    thread = waiting(trials, partial(trials.take, "c-d"), got)
    if what == "done":
        trials.done("a-b")
    elif what == "stopped":
        trials.stop()
    else:
        if what == "cut":
            trials.cut("a-b")
        trials.set_aside("a-b")
    thread.join(JOIN_S)
    assert not thread.is_alive()
    assert [trial.number if trial else None for trial in got] == [number]


def test_a_pause_ends_with_the_run() -> None:
    trials = Dispatcher(plan(1, cells=1), PAIRS[:2])
    assert trials.pause(0.01)
    got: list[bool] = []
    thread = waiting(trials, partial(trials.pause, JOIN_S), got)
    trials.stop()
    thread.join(JOIN_S)
    assert got == [False]


# --- properties ---


class Lab(RuleBasedStateMachine):
    """Pairs that finish, are cut, are lost and return, in any order."""

    @initialize(
        blocks=st.integers(0, 4),
        cells=st.integers(1, 3),
        count=st.integers(1, 4),
        warmed=st.booleans(),
        begun=st.dictionaries(st.integers(1, 4), st.sampled_from([*PAIRS, "gone", None])),
        finished=st.sets(st.integers(1, 16)),
        rounds=st.lists(st.integers(1, 2), max_size=2),
    )
    def begin(
        self,
        blocks: int,
        cells: int,
        count: int,
        warmed: bool,
        begun: dict[int, str | None],
        finished: set[int],
        rounds: list[int],
    ) -> None:
        self.pairs = PAIRS[:count]
        every = plan(blocks, cells, self.pairs if warmed else ())
        self.wanted = {t.number: t for t in every if t.number not in finished}
        further_blocks, _ = further(*rounds)

        def more(working: int) -> list[PlannedTrial]:
            new = further_blocks(working)
            assert not self.hand, "nobody is at work"
            self.wanted |= {trial.number: trial for trial in new}
            return new

        self.trials = Dispatcher(self.wanted.values(), self.pairs, begun, more)
        self.hand: dict[str, int] = {}
        self.aside: set[str] = set()
        self.ran: defaultdict[int, list[str]] = defaultdict(list)
        """by number: the pairs that gave it its result"""
        self.released: Counter[int] = Counter()
        """by block: how often a pair that had some of it was set aside"""

    def over(self) -> bool:
        with self.trials._changed:
            return self.trials._is_over()

    def some(self, data: st.DataObject, pairs: set[str]) -> str:
        return data.draw(st.sampled_from(sorted(pairs)))

    @property
    def working(self) -> set[str]:
        return set(self.pairs) - self.aside

    @rule(data=st.data())
    @precondition(lambda self: self.working)
    def take(self, data: st.DataObject) -> None:
        pair = self.some(data, self.working)
        had = self.hand.pop(pair, None)
        number = took(self.trials, pair)
        if had is not None:
            assert number == had, "what it has in hand is its next one"
        if number is not None:
            trial = self.wanted[number]
            mine = [n for n, other in self.wanted.items() if other.pair == pair]
            assert trial.pair in {None, pair}
            assert trial.warmup or all(n in self.ran for n in mine), "warmed up first"
            self.hand[pair] = number

    @rule(data=st.data())
    @precondition(lambda self: self.hand)
    def finish(self, data: st.DataObject) -> None:
        pair = self.some(data, set(self.hand))
        self.ran[self.hand.pop(pair)].append(pair)
        self.trials.done(pair)

    @rule(data=st.data())
    @precondition(lambda self: self.hand)
    def cut(self, data: st.DataObject) -> None:
        self.trials.cut(self.some(data, set(self.hand)))

    @rule(data=st.data(), unless_last=st.booleans())
    @precondition(lambda self: self.working)
    def lose(self, data: st.DataObject, unless_last: bool) -> None:
        pair = self.some(data, self.working)
        had = [trial.block for trial in self.trials._own[pair]]
        had += [self.wanted[self.hand[pair]].block] if pair in self.hand else []
        others = len(self.working) - 1
        assert self.trials.set_aside(pair, unless_last=unless_last) == others
        if others or not unless_last:
            self.aside.add(pair)
            self.hand.pop(pair, None)
            self.released.update(set(had))

    @rule(data=st.data())
    @precondition(lambda self: self.aside)
    def come_back(self, data: st.DataObject) -> None:
        pair, late = self.some(data, self.aside), self.over()
        self.trials.take_back(pair)
        if not late:
            self.aside.discard(pair)

    @invariant()
    def no_trial_is_lost_doubled_or_run_twice(self) -> None:
        trials = self.trials
        somewhere = Counter(t.number for own in trials._own.values() for t in own)
        somewhere.update(t.number for block in trials._free for t in block)
        somewhere.update(t.number for t, _ in trials._in_hand.values())
        somewhere.update(number for number, pairs in self.ran.items() for _ in pairs)
        assert somewhere == Counter(self.wanted.keys())

    @invariant()
    def a_block_is_one_pairs_unless_that_was_set_aside(self) -> None:
        had: defaultdict[int, set[str]] = defaultdict(set)
        for number, pairs in self.ran.items():
            had[self.wanted[number].block].update(pairs)
        for pair, number in self.hand.items():
            had[self.wanted[number].block].add(pair)
        for block, pairs_of_it in had.items():
            if block:  # each time it goes to at most two: the rest, and what was cut off
                assert len(pairs_of_it) <= 1 + 2 * self.released[block]

    @invariant()
    def somebody_can_go_on_unless_it_is_over(self) -> None:
        if self.over():
            return
        others = {t.number for block in self.trials._free for t in block}
        waits = self.trials._is_done()  # whoever comes next asks for more
        waits |= any(self.trials._own[pair] or pair in self.hand for pair in self.working)
        free = any(
            self.working == {pair} or self.trials._cut_on.get(number) != pair
            for pair in self.working
            for number in others
        )
        assert waits or free

    def teardown(self) -> None:
        if not hasattr(self, "trials"):
            return
        for _ in range(len(self.wanted) + 1):
            for pair in self.working:
                self.hand.pop(pair, None)
                for number in run_all(self.trials, pair):
                    self.ran[number].append(pair)
        self.no_trial_is_lost_doubled_or_run_twice()
        assert self.over()
        if self.working:
            left = [trial for n, trial in self.wanted.items() if n not in self.ran]
            assert all(trial.pair in self.aside for trial in left)


TestAnyOrder = Lab.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=40)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 4), st.booleans())
def test_threads_never_hang_and_run_each_trial_once(
    seed: int, blocks: int, count: int, warmed: bool
) -> None:
    """Real threads, which finish, are cut, are set aside and return at random."""
    pairs = PAIRS[:count]
    wanted = plan(blocks, 3, pairs if warmed else ())
    further_blocks, _ = further(3, 1)

    def more(working: int) -> list[PlannedTrial]:
        new = further_blocks(working)
        wanted.extend(new)
        return new

    trials = Dispatcher(wanted, pairs, more=more)
    ran: list[int] = []

    def work(pair: str) -> None:
        chance = random.Random(f"{seed} {pair}")
        while (trial := trials.take(pair)) is not None:
            happens = chance.random()
            if happens < 0.7:
                ran.append(trial.number)
                trials.done(pair)
            elif happens < 0.85:
                trials.cut(pair)
            elif happens < 0.9:
                trials.set_aside(pair)
                return
            elif trials.set_aside(pair, unless_last=True) and trials.pause(0.001):
                trials.take_back(pair)

    threads = [threading.Thread(target=work, args=(pair,), daemon=True) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_S)
    assert not any(thread.is_alive() for thread in threads)
    assert len(ran) == len(set(ran))
    if trials._working:
        assert {trial.number for trial in wanted if trial.pair is None} <= set(ran)
