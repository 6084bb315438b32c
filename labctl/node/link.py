"""The link between two hosts: made of a veth pair on the embedded lab, and measured."""

from __future__ import annotations

import fcntl
import os
import socket
import statistics
import struct
import threading
import time
from contextlib import closing
from typing import Any

from .commands import COMMAND_TIMEOUT_S, run
from .netlink import QdiscReader
from .protocol import RequestError

_WARM_UP_S, _WARM_UP_BITS = 0.3, 15_000_000
"""TCP begins by filling the queue until it overflows, and then waits; at 10 Mbit/s that takes a second, and a window of any
length that it falls into reads 5 to 30 % low"""
_WINDOW_S, _WINDOW_BITS = 0.7, 20_000_000
_LONGEST_S = 8.0
_ROUND_TRIPS = 20
"""TCP widens its window by round trips, and narrows it by them"""
_IDLE_PINGS, _FEWEST_PINGS, _IDLE_S = 20, 5, 4.0
_SERVED_S = 60.0
"""the longest that the far end hears nothing: it warms up, and waits for what was lost"""
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
            connection.settimeout(_SERVED_S)
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


def windows_s(bits_per_s: int | None, round_trip_s: float) -> tuple[float, float]:
    """How long a link is loaded before it is measured, and measured: the longer the slower it is, and the further."""
    least_s = _ROUND_TRIPS * round_trip_s
    if bits_per_s is None:
        warm_up_s, window_s = _WARM_UP_S, _WINDOW_S
    else:
        warm_up_s, window_s = _WARM_UP_BITS / bits_per_s, _WINDOW_BITS / bits_per_s
    warm_up_s = min(max(_WARM_UP_S, warm_up_s, least_s), _LONGEST_S)
    return warm_up_s, min(max(_WINDOW_S, window_s, least_s), _LONGEST_S)


def idle_pings(round_trip_s: float) -> int:
    """How many round trips of an idle link are measured: few of them, where each takes long."""
    if round_trip_s * _IDLE_PINGS <= _IDLE_S:
        return _IDLE_PINGS
    return max(_FEWEST_PINGS, int(_IDLE_S / round_trip_s))


def measure(
    interface: str, address: str, port: int, bits_per_s: int | None, round_trip_s: float
) -> dict[str, Any]:
    """Goodput of one TCP stream over a link of about that rate, and the round trip of single bytes idle and under that load.

    :param round_trip_s: what the link was given; each answer may take ten of it longer, as TCP sends again what was lost

    :return: ``goodput_bits_per_s`` (payload), ``wire_bits_per_s`` (as the qdisc counts; None where none does), ``rtt_idle_ms``, ``rtt_loaded_ms`` (medians)
    """
    warm_up_s, seconds = windows_s(bits_per_s, round_trip_s)
    answer_s = COMMAND_TIMEOUT_S + 10 * round_trip_s
    pings: list[float] = []
    loaded = threading.Event()
    done = threading.Event()
    with _connect(address, port, b"E", answer_s) as echo, closing(QdiscReader(interface)) as qdisc:
        echo.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        idle = [_ping(echo) for _ in range(idle_pings(round_trip_s))]

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
            with _connect(address, port, b"S", answer_s) as stream:
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
            pinger.join(answer_s)
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


def _connect(address: str, port: int, kind: bytes, answer_s: float) -> socket.socket:
    try:
        connection = socket.create_connection((address, port), timeout=answer_s)
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
