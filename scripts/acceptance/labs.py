"""One virtual lab, by the commands that a user types, and what may be left of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from labctl.lab.inventory import inventories

LABCTL: Final = Path(sys.executable).with_name("labctl")
COMMAND_S, RUN_S = 1200.0, 7200.0
TRIALS_FAILED: Final = 1
"""the exit status of such a run"""
GONE_S = 60.0
_LOOK_S = 0.2


class Unmet(Exception):  # noqa: N818 - named for what it says
    """Something that must be so is not."""


class Lab:
    """A virtual lab of one Debian suite; images are made anew, in `cache`."""

    def __init__(self, suite: str, cache: str) -> None:
        self.suite = suite
        self.name = f"acceptance-{suite}"
        self.cache = Path(cache)
        self._environment = {**os.environ, "XDG_CACHE_HOME": cache}

    def labctl(self, *words: str, within_s: float = COMMAND_S, also: Collection[int] = ()) -> str:
        """One command to its end, told as it is typed; what it prints. Unmet when it fails, but with a status of `also`."""
        print(f"$ labctl {' '.join(words)}", flush=True)
        done = subprocess.run(
            [LABCTL, *words],
            timeout=within_s,
            env=self._environment,
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
        print(done.stdout, end="", flush=True)
        if done.returncode not in {0, *also}:
            raise Unmet(f"labctl {' '.join(words)}: exit status {done.returncode}")
        return done.stdout

    @contextmanager
    def begun(self, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A command that is killed, as by `kill -9`, when the block is left."""
        print(f"$ labctl {' '.join(words)}    (to be killed)", flush=True)
        process = subprocess.Popen([LABCTL, *words], env=self._environment)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def up(self) -> None:
        """Bring it up."""
        self.labctl("lab", "up", self.name, "--suite", self.suite)

    def down(self) -> None:
        """Take it down, and see that nothing is left."""
        self.labctl("lab", "down", self.name)
        until(lambda: not self.left(), f"nothing is left of {self.name}", GONE_S, self.left)

    def left(self) -> list[str]:
        """What there is of it on this machine, beside its image."""
        found = [f"process: {line}" for line in _processes(f"labctl-{self.name}-", str(self.cache))]
        found += [str(path) for path in (self.cache / "labctl" / "images").glob("*.new")]
        found += [f"the inventory {self.name}"] if self.name in inventories() else []
        live = Path(f"/run/labctl/lab-{self.name}")
        return [*found, str(live)] if live.exists() else found


def until(
    condition: Callable[[], object],
    what: str,
    within_s: float,
    but: Callable[[], object] = lambda: "",
) -> None:
    """Wait for something. Unmet when it does not come, with what there is instead."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise Unmet(f"{what}: not within {within_s:g} s; {but()}")
        time.sleep(_LOOK_S)


def _processes(*words: str) -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if any(word in line for word in words):
            yield line[:200]
