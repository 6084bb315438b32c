"""A Prometheus of labctl's own on this machine: its configuration, its start and its end."""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from labctl.data import data_path
from labctl.errors import LabError, WaitTimeout

DEFAULT_ADDRESS: Final = "127.0.0.1:9090"
RETENTION: Final = "400d"
READY_S: Final = 60.0
END_S: Final = 30.0
ANSWER_S: Final = 30.0
_POLL_S: Final = 0.1
_LAST_LINES: Final = 5

CONFIGURATION: Final = """\
# Written by labctl. Runs that `labctl run --metrics` serves are found by the files in {targets}.
global:
  scrape_interval: {interval}
  evaluation_interval: {interval}
rule_files: [{rules}]
scrape_configs:
  - job_name: labctl
    file_sd_configs:
      - files: [{targets}/*.json]
        refresh_interval: 1s
"""


@dataclass(frozen=True)
class Prometheus:
    """One that answers."""

    url: str
    data: Path
    pid: int

    @property
    def page(self) -> str:
        """The address of what labctl shows there."""
        return f"{self.url}/consoles/labctl.html"

    @property
    def write_url(self) -> str:
        """Where remote write goes."""
        return f"{self.url}/api/v1/write"

    def is_ready(self) -> bool:
        """Whether it answers, and not another one that has its address."""
        with urllib.request.urlopen(f"{self.url}/-/ready", timeout=ANSWER_S):  # noqa: S310 - our own
            pass
        with urllib.request.urlopen(f"{self.url}/api/v1/status/flags", timeout=ANSWER_S) as answer:  # noqa: S310 - the same
            flags: dict[str, str] = json.load(answer)["data"]
        return flags["storage.tsdb.path"] == str(self.data)

    def query(self, expression: str, at_s: float | None = None) -> list[dict[str, Any]]:
        """The result of an instant query."""
        asked = {"query": expression} | ({"time": f"{at_s:.3f}"} if at_s is not None else {})
        return self._ask("query", asked)

    def query_range(
        self, expression: str, start_s: float, end_s: float, step_s: float
    ) -> list[dict[str, Any]]:
        """The result of a query over time."""
        asked = {
            "query": expression,
            "start": f"{start_s:.3f}",
            "end": f"{end_s:.3f}",
            "step": f"{step_s:g}",
        }
        return self._ask("query_range", asked)

    def _ask(self, what: str, asked: dict[str, str]) -> list[dict[str, Any]]:
        data = urlencode(asked).encode()
        with urllib.request.urlopen(f"{self.url}/api/v1/{what}", data, ANSWER_S) as answer:  # noqa: S310 - our own
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found


@contextmanager
def prometheus(
    folder: Path, address: str = DEFAULT_ADDRESS, *, targets: Path, interval: str = "1s"
) -> Iterator[Prometheus]:
    """Run one whose data, configuration and log are in `folder`; it ends with the context, and with this process.

    LabError where there is no Prometheus, or it does not start; WaitTimeout.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise LabError(
            "there is no prometheus in PATH",
            mend="apt-get install prometheus; in a checkout `make monitor` does, so that it listens on loopback only",
        )
    for made in (folder, targets):
        made.mkdir(parents=True, exist_ok=True)
    configuration = folder / "prometheus.yml"
    rules = data_path("dashboards/rules/labctl.rules.yml").resolve()
    configuration.write_text(
        CONFIGURATION.format(interval=interval, rules=json.dumps(str(rules)), targets=targets)
    )
    log = folder / "prometheus.log"
    command = [
        "setpriv", "--pdeathsig", "TERM", "--", program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={RETENTION}",
        f"--web.listen-address={address}",
        f"--web.console.templates={data_path('dashboards/console').resolve()}",
        "--web.enable-remote-write-receiver",
    ]  # fmt: skip
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        server = Prometheus(f"http://{address}", folder / "data", process.pid)
        _wait_until_ready(server, process, log)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(server: Prometheus, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        if process.poll() is not None:
            said = "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
            raise LabError(
                f"prometheus ended with status {process.returncode}:\n{said}",
                place=str(log),
                mend="if something else listens there: --address with another port",
            )
        with suppress(OSError, ValueError, KeyError):
            if server.is_ready():
                return
        if time.monotonic() > deadline:
            raise WaitTimeout("prometheus to be ready", READY_S, place=server.url)
        time.sleep(_POLL_S)
