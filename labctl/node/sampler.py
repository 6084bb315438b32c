"""Samples of one QEMU and its host, every 10 ms on an absolute schedule, kept in memory until they are taken.

Two independent loops, because QEMU's monitor blocks around the switch-over (150 to 280 ms were seen): the host's counters
go on meanwhile. Times asked (``due_ns``) and achieved (``request_ns``, ``reply_ns``) are both stored; a blocked query is
one late sample, ticks that passed meanwhile are not made up.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable
from typing import Any, Callable

from . import procfs
from .machine import Machine
from .netlink import QdiscReader
from .protocol import RequestError

PERIOD_S = 0.01
QUERY_TIMEOUT_S = 30.0
PROGRESS_PERIOD_S = 0.2
_THREADS_RELISTED_EVERY = 5

Sample = dict[str, Any]


class Sampler:
    """Samples a machine from :meth:`start` to :meth:`stop`; `progress` is told the newest migration state now and then.

    :ivar faults: what could not be read, each once.
    """

    def __init__(
        self, machine: Machine, interface: str | None, progress: Callable[[Sample], None]
    ) -> None:
        self._machine = machine
        self._interface = interface
        self._progress = progress
        self._tasks: list[asyncio.Task[None]] = []
        self.samples: list[Sample] = []
        self._qdisc: QdiscReader | None = None
        self._vcpu_threads: list[int] = []
        self._names: dict[int, str] = {}
        self._tids: list[int] = []
        self._stopping = False
        self._told_s = 0.0
        self.faults: list[str] = []

    async def start(self) -> None:
        """Begin to sample."""
        cpus = await self._machine.execute("query-cpus-fast", timeout_s=QUERY_TIMEOUT_S, quiet=True)
        self._vcpu_threads = [cpu["thread-id"] for cpu in cpus]
        if self._interface:
            self._qdisc = QdiscReader(self._interface)
        self._tasks = [
            asyncio.ensure_future(self._run(tick)) for tick in (self._migrate, self._host)
        ]

    async def stop(self) -> list[Sample]:
        """End sampling; the samples."""
        # A flag beside the cancellation: before Python 3.12, `wait_for` can swallow one.
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._qdisc is not None:
            self._qdisc.close()
            self._qdisc = None
        taken, self.samples = self.samples, []
        return taken

    async def _run(self, tick: Callable[[int, int], Awaitable[None]]) -> None:
        started = time.monotonic()
        number = 0
        while not (self._stopping or self._machine.ended.is_set()):
            try:
                await tick(number, int((started + number * PERIOD_S) * 1e9))
            except (OSError, ValueError) as error:
                # One counter that could not be read is one sample less, and told; the next may be there.
                self._fault(f"{tick.__name__.strip('_')}: {error}")
            number = max(number + 1, int((time.monotonic() - started) / PERIOD_S) + 1)
            await asyncio.sleep(started + number * PERIOD_S - time.monotonic())

    def _fault(self, text: str) -> None:
        if text not in self.faults:
            self.faults.append(text)

    async def _migrate(self, _number: int, due_ns: int) -> None:
        request_ns = time.monotonic_ns()
        try:
            reply = await self._machine.execute(
                "query-migrate", timeout_s=QUERY_TIMEOUT_S, quiet=True
            )
        except RequestError as error:
            reply = {"error": error.message}
        sample = {
            "kind": "migrate",
            "due_ns": due_ns,
            "request_ns": request_ns,
            "reply_ns": time.monotonic_ns(),
        }
        sample["raw"] = reply
        self.samples.append(sample)
        if time.monotonic() - self._told_s >= PROGRESS_PERIOD_S:
            self._told_s = time.monotonic()
            ram = reply.get("ram", {})
            self._progress(
                {
                    "status": reply.get("status", "none"),
                    "transferred_bytes": ram.get("transferred", 0),
                    "remaining_bytes": ram.get("remaining", 0),
                    "passes": ram.get("dirty-sync-count", 0),
                }
            )

    async def _host(self, number: int, due_ns: int) -> None:
        request_ns = time.monotonic_ns()
        self.samples.append(self._host_sample(number, due_ns, request_ns))

    def _host_sample(self, number: int, due_ns: int, request_ns: int) -> Sample:
        pid = self._machine.pid
        if number % _THREADS_RELISTED_EVERY == 0 or not self._tids:
            self._tids = procfs.thread_ids(pid)
        threads = procfs.thread_times(pid, self._tids, self._names)
        vcpu_cpu = sum(threads[tid].cpu_ns for tid in self._vcpu_threads if tid in threads)
        vcpu_delay = sum(threads[tid].run_delay_ns for tid in self._vcpu_threads if tid in threads)
        try:
            total_cpu: int | None = procfs.process_cpu_ns(pid)
        except OSError:
            total_cpu = None
        sample: Sample = {
            "kind": "host",
            "due_ns": due_ns,
            "request_ns": request_ns,
            "vcpu_cpu_ns": vcpu_cpu,
            "vcpu_run_delay_ns": vcpu_delay,
            "other_cpu_ns": None if total_cpu is None else total_cpu - vcpu_cpu,
            "other_run_delay_ns": sum(t.run_delay_ns for t in threads.values()) - vcpu_delay,
            "rss_bytes": procfs.resident_bytes(pid),
            "threads": json.dumps(
                {f"{t.name}/{tid}": [t.cpu_ns, t.run_delay_ns] for tid, t in threads.items()}
            ),
        }
        if self._interface and self._qdisc is not None:
            interface = procfs.interface_bytes(self._interface)
            sample["rx_bytes"], sample["tx_bytes"] = interface
            qdisc = self._qdisc.read()
            if qdisc is not None:
                sample["qdisc_sent_bytes"], sample["qdisc_drops"], sample["qdisc_backlog_bytes"] = (
                    qdisc
                )
        sample["reply_ns"] = time.monotonic_ns()
        return sample
