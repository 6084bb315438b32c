"""Samples of one QEMU and its host, every 10 ms on an absolute schedule, kept in memory until they are taken.

A thread of its own does nothing else. What it reads stays as it came until sampling ends: reading it is not hurried, the
next sample is. QEMU's monitor blocks around the switch-over (150 to 280 ms were seen): the host's counters go on meanwhile.
Times asked (``due_ns``) and achieved (``request_ns``, ``reply_ns``) are both stored; a blocked query is one late sample,
ticks that passed meanwhile are not made up. Nor is a slow host sampled at the cost of what runs there: the thread takes a fifth
of a core at most, and where a round of samples costs more than that of a period, it lets ticks pass (an emulated host's took most of its core).
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import threading
import time
import traceback
from contextlib import suppress
from typing import Any, Callable, NamedTuple

from . import monitor, procfs
from .machine import Machine
from .netlink import QdiscCounters, QdiscReader
from .patience import longer
from .rdma_counters import PortBytes, PortCounters

PERIOD_S = 0.01
QUERY_TIMEOUT_S = 30.0
PROGRESS_PERIOD_S = 0.2
_ROUNDS_IN_ALL = 5
"""the next round of samples is due, at the soonest, when so many times the CPU time of this one has passed"""
_THREADS_RELISTED_EVERY = 5
_NICE = -11
_END_S = 5.0

Sample = dict[str, Any]


class _HostReading(NamedTuple):
    """The host's counters as the kernel gave them."""

    due_ns: int
    request_ns: int
    reply_ns: int
    threads: list[tuple[int, bytes]]
    cpu_ns: int | None
    rss_bytes: int
    interface: procfs.InterfaceBytes | None
    qdisc: QdiscCounters | None
    rdma: PortBytes | None


class Sampler:
    """Samples a machine from :meth:`start` to :meth:`stop`, for :meth:`take`; `progress` is told the newest migration state
    now and then.

    :ivar faults: what could not be read, each once.
    """

    def __init__(
        self,
        machine: Machine,
        interface: str | None,
        rdma: dict[str, Any] | None,
        progress: Callable[[Sample], None],
    ) -> None:
        self._machine = machine
        self._interface = interface
        self._rdma = rdma
        self._progress = progress
        self._loop = asyncio.get_running_loop()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._replies: list[monitor.Reply] = []
        self._readings: list[_HostReading] = []
        self._vcpu_threads: list[int] = []
        self._told_ns = 0
        self.faults: list[str] = []

    async def start(self) -> None:
        """Begin to sample. :raise OSError: when the machine's process, or the interface, is not there."""
        cpus = await self._machine.execute("query-cpus-fast", timeout_s=QUERY_TIMEOUT_S, quiet=True)
        self._vcpu_threads = [cpu["thread-id"] for cpu in cpus]
        assert self._machine.sampling_monitor is not None
        self._question = monitor.Question(self._machine.sampling_monitor, "query-migrate")
        self._process = procfs.ProcessCounters(self._machine.pid)
        self._link = procfs.InterfaceCounters(self._interface) if self._interface else None
        self._qdisc = QdiscReader(self._interface) if self._interface else None
        self._port = PortCounters(self._rdma["device"], self._rdma["port"]) if self._rdma else None
        # A word to the thread that it shall end.
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End sampling, with one last look at the host; nothing, when it has ended."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.set()
        os.write(self._wake_write, b"x")
        thread.join(_END_S)
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._process.close()
        for reader in (self._link, self._qdisc, self._port):
            if reader is not None:
                reader.close()

    def take(self) -> list[Sample]:
        """The samples there are, in no order, once sampling has ended."""
        samples = [_migrate_sample(reply) for reply in self._replies]
        return samples + [self._host_sample(reading) for reading in self._readings]

    # --- in the sampler's thread ---

    def _serve(self) -> None:
        with suppress(OSError):  # a plain user's sampler runs at the usual priority
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        try:
            self._run()
        except Exception:  # noqa: BLE001 - told with the samples there are
            self._fault(traceback.format_exc())

    def _run(self) -> None:
        started_ns = time.monotonic_ns()
        period_ns = round(PERIOD_S * 1e9)
        self._question.negotiate(started_ns)
        number, spent_ns = 0, time.thread_time_ns()
        while not (self._stopping.is_set() or self._machine.ended.is_set()):
            due_ns = started_ns + number * period_ns
            self._look(number, due_ns)
            self._ask(due_ns, time.monotonic_ns())
            before_ns, spent_ns = spent_ns, time.thread_time_ns()
            rested_ns = due_ns + _ROUNDS_IN_ALL * (spent_ns - before_ns)
            soonest_ns = max(time.monotonic_ns(), rested_ns)
            number = max(number + 1, (soonest_ns - started_ns) // period_ns + 1)
            self._receive_until(started_ns + number * period_ns)
        if not self._machine.ended.is_set():
            # What was counted until now, and not until up to a period ago.
            self._look(number, time.monotonic_ns())

    def _look(self, number: int, due_ns: int) -> None:
        try:
            self._readings.append(self._read_host(number, due_ns))
        except (OSError, ValueError) as error:
            # One counter that could not be read is one sample less, and told; the next may be there.
            self._fault(f"host: {error}")

    def _ask(self, due_ns: int, now_ns: int) -> None:
        waiting_s = (now_ns - self._question.asked_ns) / 1e9 if self._question.asked_ns else 0
        if waiting_s > longer(QUERY_TIMEOUT_S) and self._question.open:
            self._fault(f"migrate: QEMU did not answer within {longer(QUERY_TIMEOUT_S):g} s")
        self._question.ask(due_ns, now_ns)

    def _receive_until(self, end_ns: int) -> None:
        """Take what QEMU says until the next sample is due."""
        while not self._stopping.is_set():
            left_s = (end_ns - time.monotonic_ns()) / 1e9
            if left_s <= 0:
                return
            waited = [self._wake_read]
            if self._question.open:
                waited.append(self._machine.sampling_monitor)  # type: ignore[arg-type]
            ready, _, _ = select.select(waited, [], [], left_s)
            if len(waited) > 1 and waited[1] in ready:
                reply = self._question.receive(time.monotonic_ns)
                if reply is not None:
                    self._take(reply)

    def _take(self, reply: monitor.Reply) -> None:
        self._replies.append(reply)
        if reply.reply_ns - self._told_ns >= PROGRESS_PERIOD_S * 1e9:
            self._told_ns = reply.reply_ns
            said = monitor.read(reply.line)
            ram = said.get("ram", {})
            progress = {
                "status": said.get("status", "none"),
                "transferred_bytes": ram.get("transferred", 0),
                "remaining_bytes": ram.get("remaining", 0),
                "passes": ram.get("dirty-sync-count", 0),
                "dirty_bytes_per_s": ram.get("dirty-pages-rate", 0) * ram.get("page-size", 4096),
                "bandwidth_bytes_per_s": ram.get("mbps", 0.0) * 1e6 / 8,
                "throttle_percent": said.get("cpu-throttle-percentage", 0),
                "page_requests": ram.get("postcopy-requests", 0),
            }
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._progress, progress)

    def _read_host(self, number: int, due_ns: int) -> _HostReading:
        request_ns = time.monotonic_ns()
        if number % _THREADS_RELISTED_EVERY == 0:
            self._process.relist()
        threads = self._process.threads()
        try:
            cpu_ns: int | None = procfs.process_cpu_ns(self._machine.pid)
        except OSError:
            cpu_ns = None
        rss_bytes = self._process.resident_bytes()
        interface = self._link.read() if self._link else None
        qdisc = self._qdisc.read() if self._qdisc else None
        rdma = self._port.read() if self._port else None
        reply_ns = time.monotonic_ns()
        return _HostReading(
            due_ns, request_ns, reply_ns, threads, cpu_ns, rss_bytes, interface, qdisc, rdma
        )

    def _fault(self, text: str) -> None:
        if text not in self.faults:
            self.faults.append(text)

    # --- afterwards ---

    def _host_sample(self, reading: _HostReading) -> Sample:
        names = self._process.names
        threads = {tid: procfs.thread_times(names[tid], said) for tid, said in reading.threads}
        vcpus = [threads[tid] for tid in self._vcpu_threads if tid in threads]
        vcpu_cpu = sum(vcpu.cpu_ns for vcpu in vcpus)
        vcpu_delay = sum(vcpu.run_delay_ns for vcpu in vcpus)
        sample: Sample = {
            "kind": "host",
            "due_ns": reading.due_ns,
            "request_ns": reading.request_ns,
            "reply_ns": reading.reply_ns,
            "vcpu_cpu_ns": vcpu_cpu,
            "vcpu_run_delay_ns": vcpu_delay,
            "other_cpu_ns": None if reading.cpu_ns is None else reading.cpu_ns - vcpu_cpu,
            "other_run_delay_ns": sum(t.run_delay_ns for t in threads.values()) - vcpu_delay,
            "rss_bytes": reading.rss_bytes,
            "threads": json.dumps(
                {f"{t.name}/{tid}": [t.cpu_ns, t.run_delay_ns] for tid, t in threads.items()}
            ),
        }
        if reading.interface is not None:
            sample["rx_bytes"], sample["tx_bytes"] = reading.interface
        if reading.qdisc is not None:
            sample["qdisc_sent_bytes"], sample["qdisc_drops"], sample["qdisc_backlog_bytes"] = (
                reading.qdisc
            )
        if reading.rdma is not None:
            counted = reading.rdma._asdict().items()
            sample.update({f"rdma_{name}": value for name, value in counted})
        return sample


def _migrate_sample(reply: monitor.Reply) -> Sample:
    return {
        "kind": "migrate",
        "due_ns": reply.due_ns,
        "request_ns": reply.request_ns,
        "reply_ns": reply.reply_ns,
        "raw": monitor.read(reply.line),
    }
