"""Standard logging: warnings to stderr, more with -v, everything to --log-file.

The run's events are logged as they are told. What a user types is not: nothing here ever holds a password.
"""

import logging
from dataclasses import asdict
from pathlib import Path

from labctl.cli.console import err
from labctl.errors import InputError
from labctl.events import Event, Notice, Progress, StateEntered

LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}
log = logging.getLogger("labctl.events")


def set_up(verbosity: int, log_file: Path | None) -> None:
    """Send the package's logging where the options say. Raises InputError."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, Stderr | logging.FileHandler)]:
        root.removeHandler(handler)  # of a call before, in one process
        handler.close()
    stderr = Stderr()
    stderr.setLevel(LEVELS[verbosity])
    root.addHandler(stderr)
    logging.captureWarnings(capture=True)
    lowest = LEVELS[verbosity]
    if log_file is not None:
        try:
            to_file = logging.FileHandler(log_file, encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"cannot be written: {error.strerror}",
                place=str(log_file),
                mend="name a file in a folder that exists",
            ) from None
        to_file.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(name)s %(threadName)s: %(message)s")
        )
        root.addHandler(to_file)
        lowest = logging.DEBUG
    logging.getLogger("labctl").setLevel(lowest)


class Stderr(logging.Handler):
    """stderr as it is now, so that lines stand above a live display. Tracebacks are the log file's."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print it, without a traceback."""
        if record.exc_info and record.levelno < logging.WARNING:
            return  # complained of already
        err().print(record.getMessage(), style="dim", soft_wrap=True)


class LogEvents:
    """The observer that logs a run's events."""

    def handle(self, event: Event) -> None:
        """Log it: what comes often at DEBUG, notices as they would be shown."""
        level = logging.DEBUG if isinstance(event, Progress | StateEntered) else logging.INFO
        if not log.isEnabledFor(level):
            return
        said = {key: value for key, value in asdict(event).items() if key != "figures"}
        text = event.text if isinstance(event, Notice) else ""
        log.log(level, "%s %s", type(event).__name__, text or said)
