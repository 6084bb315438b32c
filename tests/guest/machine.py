"""One real QEMU with the built-in guest in it, and what can be asked of both."""

import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from labctl.guest.build import guest_image
from labctl.node.beats import Beat, BeatParser, Hello, Load, Record, Report

PAGE_BYTES = 4096
MIB = 1 << 20
GIB = 1 << 30
NONCE = 0xC0FFEE42
# Longer than a record takes to arrive byte by byte: one wake-up a record, as the observer does it.
RECORD_ARRIVES_S = 50e-6


class Seen(NamedTuple):
    """A record and when it arrived (CLOCK_MONOTONIC)."""

    at_s: float
    record: Record


class Guest:
    """A QEMU that ends with the test, and with the test's process however that ends."""

    def __init__(
        self,
        append: str,
        *,
        memory_bytes: int = 256 * MIB,
        machine: str = "pc",
        cpu: str = "qemu64",
        vcpus: int = 1,
        incoming: str | None = None,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="labctl-guest-"))
        self.seen: list[Seen] = []
        self.words = ""
        self._parser = BeatParser()
        self._changed = threading.Condition()
        beats, commands, monitor = (self._listen(name) for name in ("beats", "com1", "qmp"))
        nice = ["nice", "-n", "-11"] if os.geteuid() == 0 else []
        self.started_s = time.monotonic()
        self.process = subprocess.Popen([
            *nice, "setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", machine, "-accel", "tcg,thread=multi", "-cpu", cpu,
            "-smp", str(vcpus), "-m", f"size={memory_bytes}B",
            "-kernel", str(guest_image()), "-append", f"nonce={NONCE:x} vcpus={vcpus} {append}",
            "-chardev", f"socket,id=beats,path={self.directory}/beats",
            "-device", "isa-debugcon,iobase=0xe9,chardev=beats",
            "-chardev", f"socket,id=com1,path={self.directory}/com1", "-serial", "chardev:com1",
            "-qmp", f"unix:{self.directory}/qmp",
            *(["-incoming", incoming] if incoming else []),
        ])  # fmt: skip
        try:
            self._beats, self._com1, self._qmp = (s.accept()[0] for s in (beats, commands, monitor))
        except TimeoutError:
            self.process.kill()
            raise AssertionError(f"QEMU did not start: status {self.process.wait()}") from None
        finally:
            for listener in (beats, commands, monitor):
                listener.close()
        self._com1.setblocking(False)
        self._monitor = self._qmp.makefile("rw")
        self._monitor.readline()
        self.qmp("qmp_capabilities")
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _listen(self, name: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{self.directory}/{name}")
        listener.listen(1)
        listener.settimeout(20)
        return listener

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()
        for closing in (self._monitor, self._qmp, self._beats, self._com1):
            closing.close()
        shutil.rmtree(self.directory)

    def _receive(self) -> None:
        if os.geteuid() == 0:  # arrivals are stamped here: before QEMU's own threads
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -20)
        while chunk := self._beats.recv(1):
            time.sleep(RECORD_ARRIVES_S)
            chunk += self._beats.recv(1 << 16)
            at_s = time.monotonic()
            with self._changed:
                self.seen += [Seen(at_s, record) for record in self._parser.feed(chunk)]
                self._changed.notify_all()

    def qmp(self, command: str, **arguments: Any) -> Any:
        self._monitor.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._monitor.flush()
        while True:
            reply = json.loads(self._monitor.readline())
            assert "error" not in reply, f"{command}: {reply}"
            if "return" in reply:
                return reply["return"]

    def send(self, command: bytes) -> None:
        self._com1.send(command)

    def said(self) -> str:
        """What the guest wrote to COM1: its last words."""
        with contextlib.suppress(BlockingIOError):
            self.words += self._com1.recv(1 << 16).decode()
        return self.words

    def wait_for_words(self, words: str, timeout_s: float = 10) -> None:
        """Until its last words are whole, and begin so."""
        deadline = time.monotonic() + timeout_s
        while not self.said().endswith("\n"):
            assert time.monotonic() < deadline, "no word on COM1"
            time.sleep(0.01)
        assert self.words.startswith(words)

    # -- what was seen ------------------------------------------------------------------------

    def wait_for(
        self, wanted: Callable[[Record], bool], what: str, *, after: int = 0, timeout_s: float = 20
    ) -> Seen:
        """The first record that is wanted, of those from index `after` on."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for seen in self.seen[after:]:
                    if wanted(seen.record):
                        return seen
                after = max(after, len(self.seen))
                left = deadline - time.monotonic()
                assert left > 0, f"no {what} within {timeout_s} s; COM1 says {self.said()!r}"
                self._changed.wait(left)

    def hello(self) -> Hello:
        found = self.wait_for(lambda r: isinstance(r, Hello), "HELLO").record
        assert isinstance(found, Hello)
        return found

    def load(self, *, after: int = 0, timeout_s: float = 20) -> Load:
        """The first account of the load from index `after` on."""
        found = self.wait_for(
            lambda r: isinstance(r, Load), "LOAD", after=after, timeout_s=timeout_s
        ).record
        assert isinstance(found, Load)
        return found

    def load_after(self, seconds: float, timeout_s: float = 20) -> Load:
        """The first account of the load when it has run for so long."""
        found = self.wait_for(
            lambda r: isinstance(r, Load) and r.curve[0][1] * 10 >= seconds * 1e3,
            f"LOAD after {seconds} s",
            timeout_s=timeout_s + 2 * seconds,
        ).record
        assert isinstance(found, Load)
        return found

    def phase(self, phase: int, *, after: int = 0, timeout_s: float = 20) -> Seen:
        return self.wait_for(
            lambda r: isinstance(r, Beat) and r.phase == phase,
            f"beat of phase {phase}",
            after=after,
            timeout_s=timeout_s,
        )

    def check(self, timeout_s: float = 20) -> Report:
        """Stops the writers, has the memory checked, returns the report."""
        after = len(self.seen)
        self.send(b"K")
        found = self.wait_for(
            lambda r: isinstance(r, Report), "REPORT", after=after, timeout_s=timeout_s
        )
        assert isinstance(found.record, Report)
        return found.record

    def beats(self, phase: int | None = None, after: int = 0) -> list[tuple[float, Beat]]:
        """All beats so far (of a phase) with their time of arrival."""
        with self._changed:
            return [
                (at_s, r)
                for at_s, r in self.seen[after:]
                if isinstance(r, Beat) and phase in {None, r.phase}
            ]

    def run_for(self, seconds: float) -> list[tuple[float, Beat]]:
        """The beats of so many seconds from now, by the guest's own clock."""
        after = len(self.seen)
        ticks = int(self.hello().tsc_hz * seconds)
        first = self.wait_for(lambda r: isinstance(r, Beat), "beat", after=after).record
        assert isinstance(first, Beat)
        end = first.tsc + ticks
        self.wait_for(
            lambda r: isinstance(r, Beat) and r.tsc >= end,
            f"beat after {seconds} s",
            after=after,
            timeout_s=20 + 2 * seconds,
        )
        return [(at_s, beat) for at_s, beat in self.beats(after=after) if beat.tsc <= end]

    def run_delay_s(self) -> list[float]:
        """Per vCPU: how long so far its thread was ready to run and the host ran something else."""
        threads = [cpu["thread-id"] for cpu in self.qmp("query-cpus-fast")]
        paths = [Path(f"/proc/{self.process.pid}/task/{thread}/schedstat") for thread in threads]
        return [int(path.read_text().split()[1]) / 1e9 for path in paths]

    def page_states(self, pages: int) -> list[tuple[int, int]]:
        """Of the first pages of the working set: epoch, and tick of the last write. Peeked."""
        found = memoryview(self.peek(self.page_states_address, pages * 8)).cast("I")
        return list(zip(found[::2], found[1::2], strict=True))

    @property
    def page_states_address(self) -> int:
        """Below the working set, and one page (the copy of seq) further down."""
        hello = self.hello()
        table = -(-hello.ws_bytes // PAGE_BYTES * 8 // PAGE_BYTES) * PAGE_BYTES
        return hello.ws_start - PAGE_BYTES - table

    # -- its memory, from behind --------------------------------------------------------------

    def peek(self, address: int, length: int) -> bytes:
        with Path(f"/proc/{self.process.pid}/mem").open("rb", buffering=0) as memory:
            memory.seek(self._host_address(address))
            return memory.read(length)

    def poke(self, address: int, data: bytes) -> None:
        with Path(f"/proc/{self.process.pid}/mem").open("r+b", buffering=0) as memory:
            memory.seek(self._host_address(address))
            memory.write(data)

    def flip(self, address: int) -> None:
        """Alters one byte; a second time puts it back."""
        self.poke(address, bytes([self.peek(address, 1)[0] ^ 0x10]))

    def _host_address(self, address: int) -> int:
        reply = self.qmp("human-monitor-command", **{"command-line": f"gpa2hva {address:#x}"})
        found = re.search(r"is (0x[0-9a-f]+)", reply)
        assert found, reply
        return int(found[1], 16)


def checked_ranges(hello: Hello) -> Iterator[tuple[int, int]]:
    """The ranges outside the working set, (address, length), without the empty ones."""
    for start, length in (
        (hello.fill_start1, hello.fill_length1),
        (hello.fill_start2, hello.fill_length2),
    ):
        if length:
            yield start, length


def gaps_ms(beats: list[tuple[float, Beat]], tsc_hz: int) -> list[float]:
    """Times between beats by the guest's clock, sorted."""
    return sorted((b.tsc - a.tsc) / tsc_hz * 1e3 for (_, a), (_, b) in itertools.pairwise(beats))


def written_bytes_per_s(beats: list[tuple[float, Beat]], tsc_hz: int) -> list[float]:
    """Per vCPU: bytes of pages written per second between the first and the last beat."""
    (_, first), (_, last) = beats[0], beats[-1]
    seconds = (last.tsc - first.tsc) / tsc_hz
    pages = [(b - a) & 0xFFFFFFFF for a, b in zip(first.work, last.work, strict=True)]
    return [count * PAGE_BYTES / seconds for count in pages]
