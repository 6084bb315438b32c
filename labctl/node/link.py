"""The link between two hosts: made of a veth pair on the embedded lab, shaped by a token bucket, and measured.

A token bucket's burst decides what the shaping is worth: too small and the rate is not reached, too large and whole
segmentation-offload packets pass at once. It is a quarter of a millisecond of the rate, within the kernel's timer slack,
and never below one offloaded packet's worth of segments that a 1500 byte MTU needs.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import statistics
import struct
import threading
import time
from contextlib import closing, suppress
from typing import Any

from .commands import COMMAND_TIMEOUT_S, run
from .netlink import QdiscReader
from .protocol import RequestError

_MIN_BURST_BYTES = 32 * 1024
_BURST_S = 0.00025
_BIG_BURST_BITS_PER_S = 5_000_000_000
_BIG_BURST_BYTES = 1024 * 1024
_QUEUE_LATENCY_MS = 50
_WARM_UP_S, _WARM_UP_BITS = 0.3, 15_000_000
"""TCP begins by filling the queue until it overflows, and then waits; at 10 Mbit/s that takes a second, and a window of any
length that it falls into reads 5 to 30 % low"""
_WINDOW_S, _WINDOW_BITS = 0.7, 20_000_000
_LONGEST_S = 8.0
_IDLE_PINGS = 20
_TCP_INFO_BYTES, _TCP_INFO_MSS_AT, _TCP_INFO_DELIVERED_AT = 256, 16, 192
"""of the kernel's `struct tcp_info`: `tcpi_snd_mss`, and `tcpi_delivered` in segments"""
_SIOCGIFFLAGS, _SIOCGIFMTU = 0x8913, 0x8921
_CARRIES = 0x1 | 0x40
"""IFF_UP and IFF_RUNNING"""


def make_veth(interface: str, peer_pid: int) -> None:
    """A veth pair: one end here, the other in the network namespace of `peer_pid`, both by the same name.

    Both ends vanish with either namespace, and a namespace with its last process: nothing can be left behind.
    """
    run(
        "ip",
        "link",
        "add",
        interface,
        "type",
        "veth",
        "peer",
        "name",
        interface,
        "netns",
        str(peer_pid),
    )


def configure(interface: str, address: str | None, mtu: int | None) -> int:
    """Bring an interface up, and give it an MTU where one is asked; in a namespace of our own also its address (with prefix
    length). The MTU that it has.
    """
    if address is not None:
        run("ip", "link", "set", "lo", "up")
        run("ip", "address", "replace", address, "dev", interface)
    run("ip", "link", "set", interface, *(() if mtu is None else ("mtu", str(mtu))), "up")
    return _ask_interface(interface, _SIOCGIFMTU, "=i")


def is_up(interface: str) -> bool:
    """Whether an interface carries packets: it is up, and so is what it is joined to. False when there is none."""
    try:
        flags = _ask_interface(interface, _SIOCGIFFLAGS, "=h")
    except OSError:
        return False
    return flags & _CARRIES == _CARRIES


def _ask_interface(interface: str, request: int, answer: str) -> int:
    """A number of an interface, by an ioctl of `struct ifreq`. :raise OSError:"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("=16s16x", interface.encode())
        number: int = struct.unpack_from(answer, fcntl.ioctl(any_socket, request, asked), 16)[0]
    return number


def burst_bytes(bits_per_s: int) -> int:
    """The token bucket's burst for a rate."""
    if bits_per_s >= _BIG_BURST_BITS_PER_S:
        return _BIG_BURST_BYTES
    return max(_MIN_BURST_BYTES, int(bits_per_s / 8 * _BURST_S))


def shape(interface: str, bits_per_s: int | None) -> dict[str, Any] | None:
    """Shape what leaves an interface; says how. None: it is shaped no more."""
    if bits_per_s is None:
        unshape(interface)
        return None
    burst = burst_bytes(bits_per_s)
    run("tc", "qdisc", "replace", "dev", interface, "root", "tbf", "rate", f"{bits_per_s}bit",
        "burst", str(burst), "latency", f"{_QUEUE_LATENCY_MS}ms")  # fmt: skip
    return {
        "qdisc": "tbf",
        "rate_bits_per_s": bits_per_s,
        "burst_bytes": burst,
        "latency_ms": _QUEUE_LATENCY_MS,
    }


def unshape(interface: str) -> None:
    """Leave an interface to the kernel's own queueing discipline."""
    with suppress(RequestError):  # it has none of its own
        run("tc", "qdisc", "del", "dev", interface, "root")


def describe(interface: str) -> dict[str, Any]:
    """An interface and its queueing discipline as iproute2 shows them, counters included."""
    links = json.loads(run("ip", "-j", "-s", "link", "show", interface))
    qdiscs = json.loads(run("tc", "-j", "-s", "qdisc", "show", "dev", interface))
    return {"link": links[0], "qdisc": qdiscs[0] if qdiscs else None}


class LinkServer:
    """The far end of a measurement: swallows one connection's bytes, echoes the other's. Ends by itself."""

    def __init__(self, address: str) -> None:
        self._listener = socket.create_server((address, 0))
        self._listener.settimeout(COMMAND_TIMEOUT_S)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="link-server", daemon=True).start()

    def _accept(self) -> None:
        with self._listener:
            for _ in range(2):
                try:
                    connection, _peer = self._listener.accept()
                except OSError:
                    return
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    @staticmethod
    def _serve(connection: socket.socket) -> None:
        buffer = bytearray(1 << 20)
        with connection:
            connection.settimeout(COMMAND_TIMEOUT_S)
            try:
                kind = connection.recv(1)
                while True:
                    size = connection.recv_into(buffer)
                    if size == 0:
                        return
                    if kind == b"E":
                        connection.sendall(memoryview(buffer)[:size])
            except OSError:
                return


def windows_s(bits_per_s: int | None) -> tuple[float, float]:
    """How long a rate is loaded before it is measured, and measured: the longer the slower it is."""
    if bits_per_s is None:
        return _WARM_UP_S, _WINDOW_S
    warm_up_s = min(max(_WARM_UP_S, _WARM_UP_BITS / bits_per_s), _LONGEST_S)
    return warm_up_s, min(max(_WINDOW_S, _WINDOW_BITS / bits_per_s), _LONGEST_S)


def measure(interface: str, address: str, port: int, bits_per_s: int | None) -> dict[str, Any]:
    """Goodput of one TCP stream over a link of about that rate, and the round trip of single bytes idle and under that load.

    :return: ``goodput_bits_per_s`` (payload), ``wire_bits_per_s`` (as the qdisc counts; None where none does), ``rtt_idle_ms``, ``rtt_loaded_ms`` (medians)
    """
    warm_up_s, seconds = windows_s(bits_per_s)
    pings: list[float] = []
    loaded = threading.Event()
    done = threading.Event()
    with _connect(address, port, b"E") as echo, closing(QdiscReader(interface)) as qdisc:
        echo.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        idle = [_ping(echo) for _ in range(_IDLE_PINGS)]

        def ping_under_load() -> None:
            try:
                while not done.wait(0.01):
                    if loaded.is_set():
                        pings.append(_ping(echo))
            except OSError:
                return

        pinger = threading.Thread(target=ping_under_load, name="link-pinger", daemon=True)
        pinger.start()
        try:
            with _connect(address, port, b"S") as stream:
                _discard_when_closed(stream)
                payload = memoryview(os.urandom(1 << 18))
                _send_for(stream, payload, warm_up_s)
                loaded.set()
                delivered, before, started = (
                    _delivered_bytes(stream),
                    qdisc.read(),
                    time.monotonic(),
                )
                _send_for(stream, payload, seconds)
                delivered, after = _delivered_bytes(stream) - delivered, qdisc.read()
                elapsed = time.monotonic() - started
        finally:
            done.set()
            pinger.join(COMMAND_TIMEOUT_S)
        # Answered behind whatever still stands in the queue: the link is idle for who measures next.
        _ping(echo)
    wire = (after.sent_bytes - before.sent_bytes) if before and after else None
    return {
        "goodput_bits_per_s": round(delivered * 8 / elapsed),
        "wire_bits_per_s": None if wire is None else round(wire * 8 / elapsed),
        "drops": (after.drops - before.drops) if before and after else None,
        "rtt_idle_ms": statistics.median(idle) * 1000,
        "rtt_loaded_ms": statistics.median(pings) * 1000 if pings else None,
        "seconds": elapsed,
    }


def _connect(address: str, port: int, kind: bytes) -> socket.socket:
    try:
        connection = socket.create_connection((address, port), timeout=COMMAND_TIMEOUT_S)
    except OSError as error:
        raise RequestError("link", f"{address} does not answer over the link: {error}") from None
    connection.sendall(kind)
    return connection


def _discard_when_closed(stream: socket.socket) -> None:
    """Closing drops what is not sent yet; the kernel would go on sending it, for 0.3 s at 100 Mbit/s."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))


def _ping(connection: socket.socket) -> float:
    started = time.monotonic()
    connection.sendall(b"p")
    if not connection.recv(1):
        raise ConnectionError("the far end of the measurement has gone")
    return time.monotonic() - started


def _send_for(stream: socket.socket, payload: memoryview, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stream.send(payload)


def _delivered_bytes(stream: socket.socket) -> int:
    """Payload that has arrived, by the far end's word: what was handed to the socket may still stand in its buffer.

    By segments, not by `tcpi_bytes_acked`: that stands still at a loss and jumps when the hole is filled, at 10 Mbit/s by
    up to a tenth of what a window holds.
    """
    info = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    (mss,) = struct.unpack_from("=I", info, _TCP_INFO_MSS_AT)
    (segments,) = struct.unpack_from("=I", info, _TCP_INFO_DELIVERED_AT)
    return int(segments * mss)
