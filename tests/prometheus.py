"""A real Prometheus for tests, and a node_exporter beside it."""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import pytest

from labctl.monitoring.prometheus import Prometheus, prometheus


def needed(*programs: str) -> None:
    """Skip where these are not in PATH; packages of Debian bring them."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        pytest.skip(f"needs {', '.join(missing)} (playbooks/tests.yml installs them)")


def free_address() -> str:
    """An address on loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


class Server:
    """A Prometheus that can be ended or killed, and started again on the same data and address. A context manager: leaving it
    ends it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.targets = folder / "targets"
        self.address = free_address()
        self.write_url = f"http://{self.address}/api/v1/write"
        self._running = ExitStack()
        self.prometheus: Prometheus

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self) -> None:
        """Start it; `prometheus` is what answers."""
        started = prometheus(self.folder, self.address, targets=self.targets)
        self.prometheus = self._running.enter_context(started)

    def end(self) -> None:
        """End it as it should be."""
        self._running.close()

    def kill(self) -> None:
        """End it as the kernel would, short of memory."""
        os.kill(self.prometheus.pid, signal.SIGKILL)
        self.end()

    def backfill(self, history: Path) -> None:
        """Make blocks of OpenMetrics text."""
        done = subprocess.run(
            ["promtool", "tsdb", "create-blocks-from", "openmetrics", history, self.folder / "data"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def node_exporter(targets: Path) -> Iterator[None]:
    """One on loopback, that the Prometheus of these targets scrapes."""
    address = free_address()
    process = subprocess.Popen(
        ["prometheus-node-exporter", f"--web.listen-address={address}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        targets.mkdir(parents=True, exist_ok=True)
        (targets / "node.json").write_text(json.dumps([{"targets": [address]}]))
        yield
    finally:
        process.terminate()
        process.wait(20)
