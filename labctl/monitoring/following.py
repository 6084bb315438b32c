"""A run that another process runs, or ran, followed through its directory."""

import time
from collections.abc import Mapping

from labctl.events import PlanGrown, RunEnded, StateEntered
from labctl.monitoring.livefile import Now, read_live
from labctl.monitoring.replay import Replay, new_standing
from labctl.monitoring.standing import Standing
from labctl.results import layout, load_run
from labctl.results.journal import is_written
from labctl.results.run import Run


class Follower:
    """Looks at a run's directory again and again.

    :ivar standing: how it stood when it was looked at last
    :ivar now: of each trial under way, by number: what live.json said
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.standing: Standing = new_standing(run)
        self.now: Mapping[int, Now] = {}
        self._replay = Replay(run)
        self._told_s = 0.0

    def look(self) -> None:
        """Look again. Raises ResultsError."""
        # First: what was told before it ended is read below.
        written = is_written(self.run.path / layout.JOURNAL)
        standing = self.standing
        for at_s, event in self._replay.new():
            if isinstance(event, PlanGrown):
                self.run = load_run(self.run.path)
                standing.use(self.run.plan)
            standing.take(event, at_s)
            self._told_s = at_s
        if standing.running and not written:
            # Its process was killed before it could say so.
            standing.take(RunEnded({}, standing.left, True, 0.0), self._told_s)
        self.now = read_live(self.run.path) if standing.running else {}
        now_s = time.time()
        for number in self.now.keys() & standing.flights.keys():
            now = self.now[number]
            if now.phase != standing.flights[number].phase:
                standing.take(StateEntered(number, now.phase, 0), now_s)
            for told in (now.progress, now.guest):
                if told is not None:
                    standing.take(told, now_s)
