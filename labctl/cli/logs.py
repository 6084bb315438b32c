"""Standard logging: warnings to stderr, more with -v, everything to --log-file.

The run's events are logged as they are told. What a user types is not: nothing here ever holds a password.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from labctl.cli.console import err
from labctl.errors import InputError
from labctl.events import Event, Progress, StateEntered

LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}
FORMAT = "%(asctime)s %(levelname)-7s %(name)s %(threadName)s: %(message)s"
log = logging.getLogger("labctl.events")


def set_up(verbosity: int, log_file: Path | None) -> Callable[[], None]:
    """Send logging where the options say; what undoes that. Raises InputError."""
    root, own = logging.getLogger(), logging.getLogger("labctl")
    handlers: list[logging.Handler] = [Stderr(LEVELS[verbosity])]
    if log_file is not None:
        try:
            handlers.append(logging.FileHandler(log_file, encoding="utf-8"))
        except OSError as error:
            raise InputError(
                f"cannot be written: {error.strerror}",
                place=str(log_file),
                mend="name a file in a folder that exists",
            ) from None
        handlers[-1].setFormatter(logging.Formatter(FORMAT))
    for handler in handlers:
        root.addHandler(handler)
    before = own.level
    own.setLevel(logging.DEBUG if log_file is not None else LEVELS[verbosity])
    logging.captureWarnings(capture=True)

    def undo() -> None:
        logging.captureWarnings(capture=False)
        own.setLevel(before)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()

    return undo


class Stderr(logging.Handler):
    """stderr as it is now, so that lines stand above a live display. A traceback only with -v."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print it."""
        if record.exc_info and record.levelno < logging.WARNING:
            return  # complained of already
        whole = self.level <= logging.INFO
        err().print(self.format(record) if whole else record.getMessage(), soft_wrap=True)


def thread_died(died: threading.ExceptHookArgs) -> None:
    """What `threading.excepthook` becomes: a message, and the traceback for those who ask."""
    name = died.thread.name if died.thread else "?"
    logging.getLogger("labctl").error(
        "labctl itself failed, in thread %s: %s: %s",
        name,
        died.exc_type.__name__,
        died.exc_value,
        exc_info=(died.exc_type, died.exc_value, died.exc_traceback) if died.exc_value else None,
    )


class LogEvents:
    """The observer that logs a run's events."""

    def handle(self, event: Event) -> None:
        """Log it: what comes often at DEBUG, the rest at INFO."""
        level = logging.DEBUG if isinstance(event, Progress | StateEntered) else logging.INFO
        if not log.isEnabledFor(level):
            return
        said = {key: value for key, value in asdict(event).items() if key != "figures"}
        text = " ".join(f"{key}={value}" for key, value in said.items())
        log.log(level, "%s %s", type(event).__name__, text)
