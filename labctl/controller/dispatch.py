"""Who runs what: a plan's trials, handed out to the pairs of a lab a whole block at a time.

A block holds every cell once, so whatever one pair does otherwise than another meets all cells alike. That is why no block
is shared out, not even the last one while pairs stand idle. Only a pair that is set aside gives its block away; the trial
that was cut off on it comes last, and goes to another pair: it may be what does it.

A plan may grow: when every trial has its result, the dispatcher asks for more, and it is over when there is no more. It asks
only then, so what is added depends on results, and never on which pair was faster.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping

from labctl.campaign import PlannedTrial
from labctl.campaign.estimate import makespan_s

Block = list[PlannedTrial]


class Dispatcher:
    """The trials that have no result yet. Its methods may be called from any thread, those of a pair from its own.

    Args:
        trials: what is to be run, in the order of the plan; warm-ups of other pairs are not handed out
        pairs: who runs it
        begun: by block, the pair that ran trials of it before the run was interrupted: it goes on with it
        more: asked for further blocks when nothing is left and nobody is at work, and told how many pairs there are for them;
            none is the last answer. It is asked under the lock: nobody has anything to do meanwhile
    """

    def __init__(
        self,
        trials: Iterable[PlannedTrial],
        pairs: Iterable[str],
        begun: Mapping[int, str | None] | None = None,
        more: Callable[[int], Iterable[PlannedTrial]] | None = None,
    ) -> None:
        self.stopped = False
        """nothing is handed out any more"""
        self.cuts: Counter[int] = Counter()
        """attempts that were cut off, by the trial's number, on whichever pair"""
        self._changed = threading.Condition()
        self._more = more
        self._begun = dict(begun or {})
        self._cut_on: dict[int, str] = {}
        """by number: the pair on which the trial was cut off last"""
        self._own: dict[str, deque[PlannedTrial]] = {pair: deque() for pair in pairs}
        """what a pair has still to do: its warm-ups, then the rest of its block"""
        self._in_hand: dict[str, tuple[PlannedTrial, float]] = {}
        """what a pair does now, and since when"""
        self._working = set(self._own)
        self._free: list[Block] = []
        """blocks that nobody has, in the order of the plan"""
        self._sort(trials)

    # --- for a pair's own thread ---

    def take(self, pair: str) -> PlannedTrial | None:
        """The pair's next trial: what it has in hand without a result, the rest of its block, the next block.

        Waits while others are at work and there is nothing for it: these may be set aside. None: it is over.
        """
        with self._changed:
            while not self._is_over():
                if (trial := self._next(pair)) is not None:
                    return trial
                if self._is_done():
                    self._ask()
                else:
                    self._changed.wait()
            return None

    def done(self, pair: str) -> None:
        """The trial that the pair has in hand has its result."""
        with self._changed:
            del self._in_hand[pair]
            self._changed.notify_all()

    def cut(self, pair: str) -> None:
        """The attempt at the trial that the pair has in hand was cut off."""
        with self._changed:
            trial, _ = self._in_hand[pair]
            self.cuts[trial.number] += 1
            self._cut_on[trial.number] = pair

    def set_aside(self, pair: str, *, unless_last: bool = False) -> int:
        """Give what the pair has to the others; how many work. When none does and `unless_last`, it goes on itself."""
        with self._changed:
            others = len(self._working - {pair})
            if others or not unless_last:
                self._working.discard(pair)
                self._release(pair)
                self._changed.notify_all()
            return others

    def take_back(self, pair: str) -> None:
        """A pair that was set aside works again."""
        with self._changed:
            if not self._is_over():
                self._working.add(pair)

    def pause(self, seconds: float) -> bool:
        """Wait; False when it is over meanwhile."""
        with self._changed:
            return not self._changed.wait_for(self._is_over, seconds)

    # --- for the run ---

    def stop(self) -> None:
        """Hand out nothing any more."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()

    def left_s(self) -> float:
        """How long what is left may take, by the estimates."""
        with self._changed:
            ahead = [self._ahead_s(pair) for pair in self._working]
            blocks = [sum(trial.estimate_s for trial in block) for block in self._free]
            return makespan_s(ahead or [0.0], blocks)

    # --- under the lock ---

    def _sort(self, trials: Iterable[PlannedTrial]) -> None:
        trials = list(trials)
        for trial in trials:
            if trial.pair in self._own:
                self._own[trial.pair].append(trial)
        self._free = _blocks(trials)
        for pair in self._own:
            self._give(pair, [b for b in self._free if self._begun.get(b[0].block) == pair])

    def _is_over(self) -> bool:
        """Whether nothing will be handed out any more."""
        return self.stopped or not self._working or (self._more is None and self._is_done())

    def _is_done(self) -> bool:
        """Whether there is nothing left to hand out. What a pair set aside keeps for itself does not count."""
        busy = any(pair in self._in_hand or self._own[pair] for pair in self._working)
        return not (self._free or busy)

    def _ask(self) -> None:
        """Ask for further blocks. Whoever fails to tell is not asked again."""
        more, self._more = self._more, None
        if more is not None and (found := _blocks(more(len(self._working)))):
            self._free, self._more = found, more
        self._changed.notify_all()

    def _next(self, pair: str) -> PlannedTrial | None:
        self._lay_down(pair)
        own = self._own[pair]
        if not own:
            # Not what was cut off on it, as long as another pair can try.
            alone = self._working == {pair}
            self._give(pair, [b for b in self._free if alone or not self._was_cut(b[0], pair)])
        if not own:
            return None
        trial = own.popleft()
        self._in_hand[pair] = (trial, time.monotonic())
        return trial

    def _lay_down(self, pair: str) -> None:
        if pair in self._in_hand:
            trial, _ = self._in_hand.pop(pair)
            self._own[pair].appendleft(trial)

    def _give(self, pair: str, blocks: list[Block]) -> None:
        """Give a pair one of these free blocks: best one that it began, then one that no other pair has begun."""

        def rank(block: Block) -> int:
            if block[0].number in self._cut_on:
                return 3
            begun = self._begun.get(block[0].block)
            return 0 if begun == pair else 2 if begun in self._working else 1

        if blocks:
            block = min(blocks, key=rank)
            self._free.remove(block)
            self._own[pair].extend(block)
            self._begun[block[0].block] = pair

    def _release(self, pair: str) -> None:
        """Put what the pair has back: the rest of its block first, what was cut off on it last."""
        self._lay_down(pair)
        own = list(self._own[pair])
        self._own[pair] = deque(trial for trial in own if trial.pair is not None)
        block = [trial for trial in own if trial.pair is None]
        rest = [trial for trial in block if not self._was_cut(trial, pair)]
        cut = [trial for trial in block if self._was_cut(trial, pair)]
        self._free = [block for block in (rest, *self._free, cut) if block]

    def _was_cut(self, trial: PlannedTrial, pair: str) -> bool:
        """Whether the pair is the last on which an attempt at the trial was cut off."""
        return self._cut_on.get(trial.number) == pair

    def _ahead_s(self, pair: str) -> float:
        waiting = sum(trial.estimate_s for trial in self._own[pair])
        if pair not in self._in_hand:
            return waiting
        trial, since = self._in_hand[pair]
        return waiting + max(0.0, trial.estimate_s - (time.monotonic() - since))


def _blocks(trials: Iterable[PlannedTrial]) -> list[Block]:
    """What any pair may run, block by block."""
    blocks: dict[int, Block] = {}
    for trial in trials:
        if trial.pair is None:
            blocks.setdefault(trial.block, []).append(trial)
    return list(blocks.values())
