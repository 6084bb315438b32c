"""A loaded machine: other processes that want its cores."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from labctl.node.command_line import dying_with_us

_END_S: Final = 5.0

_NEVER_RESTS: Final = "while True: pass"


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes never rest, each at the usual priority, until the end."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(processes):
            command = [*dying_with_us(), sys.executable, "-I", "-c", _NEVER_RESTS]
            # Ctrl-C is ours to hear: who measures ends it.
            started.append(subprocess.Popen(command, process_group=0))
        yield
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait(_END_S)
