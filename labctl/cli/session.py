"""One run from the command line: shown while it goes, stopped by Ctrl-C, told when it has ended."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from labctl.cli.closing import close_run, resume_command
from labctl.cli.console import complain, err
from labctl.cli.logs import LogEvents
from labctl.cli.progress import RunProgress
from labctl.cli.root import INTERRUPTED, Settings
from labctl.cli.watched import Watched
from labctl.errors import LabctlError
from labctl.events import Event, Observer, RunStarted

if TYPE_CHECKING:
    from labctl.api import Result


class _Begun:
    """Remembers the run's name, for whoever has to say how to go on with it."""

    name: str | None = None

    def handle(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.name = event.name


def conduct(
    start: "Callable[..., Result]",
    cells: Sequence[str],
    settings: Settings,
    *,
    out: Path,
    watched: Watched,
) -> int:
    """Start a run with its observers, and see it to its end; the exit status.

    `start` is one of the API's verbs that still lacks its observers; `cells` are the names that
    will be shown; `watched`: who watches from outside.
    """
    begun = _Begun()
    observers: list[Observer] = [begun, LogEvents()]
    try:
        with ExitStack() as shown, _terminated_is_interrupted():
            if not settings.quiet:
                observers.append(shown.enter_context(RunProgress(err(), cells)))
            observers += shown.enter_context(watched.observers())
            result = start(observers=observers)
    except KeyboardInterrupt:
        if begun.name is None:
            complain("interrupted before the first trial; nothing was stored", bare=True)
        else:
            again = resume_command(begun.name, out)
            complain(f"interrupted\n  to go on: {again}", bare=True)
        return INTERRUPTED
    except LabctlError as error:
        if begun.name is not None:
            again = resume_command(begun.name, out)
            error.mend = f"{error.mend or 'see above'}; to go on: {again}"
        raise
    return close_run(result, settings, go_on=resume_command(result.directory.name, out))


@contextmanager
def _terminated_is_interrupted() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: machines are ended, the attempt is kept, the status is 130."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
