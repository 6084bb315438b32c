"""The command line: one module a verb, each thin; what they do is `labctl.api` and the rooms below.

Answers go to stdout, everything else to stderr. Nothing slow is imported before a verb needs it.
"""

import sys
import threading
from io import TextIOWrapper

__all__ = ["main"]


def main() -> None:
    """Run `labctl` on this process's arguments; ends the process."""
    from labctl.cli.app import app
    from labctl.cli.logs import thread_died

    threading.excepthook = thread_died
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a sign that an encoding lacks is no reason to fail
            stream.reconfigure(errors="replace")
    app(prog_name="labctl")
