"""Where the command line writes: answers to stdout, everything else to stderr.

Neither gets control codes where it is no terminal. rich is loaded when a table or a colour is wanted.
"""

import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 120
"""columns, where no terminal says how many there are"""


def out() -> "Console":
    """stdout, for answers."""
    return _console(sys.stdout)


def err() -> "Console":
    """stderr, for what happens meanwhile."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> "Console":
    from rich.console import Console

    known = stream.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return Console(
        file=stream,
        width=None if known else PLAIN_WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
    )


def live(console: "Console") -> bool:
    """Whether lines on it can be written anew."""
    return console.is_terminal and console.file.isatty() and not console.is_dumb_terminal


def say(text: str) -> None:
    """One answer, as it is: long lines are left to the terminal."""
    print(text)


def say_prose(text: str) -> None:
    """A sentence: broken between words where a terminal shows it, left whole elsewhere."""
    if sys.stdout.isatty():
        from shutil import get_terminal_size
        from textwrap import fill

        width = get_terminal_size().columns
        text = fill(
            text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    print(text)


def say_json(value: Any) -> None:
    """One answer for a script."""
    print(json.dumps(value, indent=1, default=str))


def tell(text: str) -> None:
    """Something that is no answer."""
    print(text, file=sys.stderr)


def some(names: Iterable[str], most: int = 3) -> str:
    """The first of a list of names, each once, and how many more there are."""
    known = list(dict.fromkeys(names))
    more = len(known) - most
    return ", ".join(known if more < 2 else [*known[:most], f"and {more} more"])


def brief(text: str) -> str:
    """A text on one line: of several, the first and the last, which say where and what."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " … ".join(lines if len(lines) < 3 else [lines[0], lines[-1]])


def complain(text: str, *, bare: bool = False) -> None:
    """What went wrong; red where that can be seen."""
    sys.stdout.flush()
    if bare or not sys.stderr.isatty() or os.environ.get("NO_COLOR"):
        print(text if bare else f"error: {text}", file=sys.stderr)
        return
    from rich.text import Text

    err().print(Text.assemble(("error: ", "bold red"), text), soft_wrap=True)
