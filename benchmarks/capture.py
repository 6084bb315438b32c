"""An independent count of what crosses a link: every frame of an interface, seen by a packet socket in its network namespace.

`python -m benchmarks.capture INTERFACE` counts until its stdin ends, then writes what it has seen (JSON). A frame that is handed on
whole under segmentation offload is counted as the frames it becomes on a wire: its socket says how large their payload is
(`PACKET_VNET_HDR`), and each carries the headers again. What the kernel could not hand over in time is counted as dropped, and
a count with drops is worth nothing.
"""

import json
import socket
import struct
import sys
import threading
import time
from typing import Any

_ETH_P_ALL = 0x0003
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_PACKET_VNET_HDR = 15
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("=qq")
_MORE_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
_BUFFER_BYTES = 512 << 20
_VNET = struct.Struct("=BBHHHH")
"""`struct virtio_net_hdr`: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset"""
_ETHERNET_BYTES = 14
_HEAD_BYTES = 192
_POLL_S = 0.2
_BUCKET_NS = 1_000_000


def frame_bytes(head: bytes, length: int) -> tuple[int, int]:
    """(bytes, frames) on a wire of what the socket gave: its beginning, virtio header included, and its whole length."""
    _flags, gso_type, _hdr_len, gso_size, _start, _offset = _VNET.unpack_from(head)
    length -= _VNET.size
    if not gso_type or not gso_size:
        return length, 1
    headers = header_bytes(head[_VNET.size :])
    frames = -(-(length - headers) // gso_size)
    return length + (frames - 1) * headers, frames


def header_bytes(frame: bytes) -> int:
    """Ethernet, IPv4 and TCP headers, options included, of a frame's beginning."""
    ip_bytes = (frame[_ETHERNET_BYTES] & 0x0F) * 4
    tcp_at = _ETHERNET_BYTES + ip_bytes
    return tcp_at + (frame[tcp_at + 12] >> 4) * 4


class Count:
    """What was seen, by millisecond of CLOCK_MONOTONIC at which the kernel had it."""

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.frames = 0

    def add(self, t_ns: int, head: bytes, length: int) -> None:
        """One frame, as the socket gave it."""
        wire_bytes, frames = frame_bytes(head, length)
        bucket = t_ns // _BUCKET_NS
        self.buckets[bucket] = self.buckets.get(bucket, 0) + wire_bytes
        self.frames += frames


def count(interface: str) -> dict[str, Any]:
    """Count until stdin ends."""
    over = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    counted = Count()
    head = bytearray(_HEAD_BYTES)
    since_ns = time.time_ns() - time.monotonic_ns()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as packets:
        packets.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        packets.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        packets.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        packets.settimeout(_POLL_S)
        packets.bind((interface, _ETH_P_ALL))
        print("counting", flush=True)
        while True:
            try:
                length, more, _flags, _from = packets.recvmsg_into(
                    [head], _MORE_BYTES, socket.MSG_TRUNC
                )
            except TimeoutError:
                if over.is_set():  # and nothing waits to be read
                    break
                continue
            seconds, nanoseconds = _TIMESPEC.unpack(more[0][2])
            counted.add(seconds * 10**9 + nanoseconds - since_ns, bytes(head), length)
        statistics = packets.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
    _packets, dropped = struct.unpack("=II", statistics)
    return {
        "buckets": sorted(counted.buckets.items()),
        "frames": counted.frames,
        "dropped": dropped,
    }


def within(counted: dict[str, Any], start_ns: int, end_ns: int) -> int:
    """The bytes of a count that were seen between two moments, to the millisecond."""
    first, last = start_ns // _BUCKET_NS, end_ns // _BUCKET_NS
    return sum(seen for bucket, seen in counted["buckets"] if first <= bucket <= last)


if __name__ == "__main__":
    print(json.dumps(count(sys.argv[1])), flush=True)
