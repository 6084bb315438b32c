"""The rack's process, from the side of who wants the hosts."""

import json
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.hosts.commands import HostsError
from tests.hosts.numbers import Number

_PROJECT = Path(__file__).parents[2]
_END_WITHIN_S = 60.0


class RackProcess:
    """Asks the rack. May be used from any thread; one request at a time.

    :ivar number: of the session, in the names of all that it makes.
    :ivar folder: where keys and disks belong: the one that was given, else one that ends with the rack.
    :ivar pid: of the process.
    """

    def __init__(self, folder: Path | None) -> None:
        self._lock = threading.Lock()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the rack
        # A session of its own: Ctrl-C is not for it.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hosts.rack", *([str(folder)] if folder else [])],
            cwd=_PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid
        try:
            answer = self._answer()
            self.number, self.folder = Number(answer["number"]), Path(answer["folder"])
        except BaseException:
            self.close()
            raise

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """One request and its answer. HostsError when it could not be done."""
        with self._lock:
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
                self._process.stdin.flush()
            except (BrokenPipeError, ValueError):
                raise HostsError(f"the rack has ended: {self._said()}") from None
            return self._answer()

    def close(self) -> None:
        """Have it end everything and remove everything. HostsError, with its own words, when it could not."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # it is dead, and what was to be said unsaid
                pipe.close()
        try:
            self._process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_END_WITHIN_S)
        if self._process.returncode not in (0, -9):
            raise HostsError(f"the rack did not end well: {self._said()}")
        self._log.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise HostsError(f"the rack has ended: {self._said()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise HostsError(answer["error"])
        return answer

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:].strip() or "it said nothing"
