"""Two ends of a link that stand in network namespaces of their own, with no lab around them: what the node's shaping does on a kernel.

Run as `unshare --net python3 -m tests.system.far_end` as root, it prints what it measured as JSON. Standard library only, so that it
runs on a host of a lab too.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from labctl.node import link, shaping
from labctl.node.netlink import QdiscCounters, QdiscReader

HERE, THERE = "192.0.2.1", "192.0.2.2"
INTERFACE = "lab0"
PAYLOAD, WIRE = 1200, 1200 + 42
"""bytes of a datagram, and of its frame"""
LIMIT_S = 60.0


def far_end() -> None:
    """The other end: does what a line of its standard input says, and answers by one."""
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for line in sys.stdin:
        asked = json.loads(line)
        answer: Any = None
        if asked["do"] == "configure":
            link.configure(INTERFACE, f"{THERE}/30", None)
            sink.bind((THERE, 0))
            sink.setblocking(False)
            answer = sink.getsockname()[1]
        elif asked["do"] == "shape":
            shaping.shape(INTERFACE, shaping.Shape(*asked["shape"]), shaping.MOST_SEGMENTS)
        elif asked["do"] == "serve":
            answer = link.LinkServer(THERE).port
        elif asked["do"] == "count":
            answer = _count(sink, asked["until_quiet_s"])
        print(json.dumps(answer), flush=True)


def _count(sink: socket.socket, quiet_s: float) -> int:
    """Datagrams that come, until none has for so long."""
    count, last = 0, time.monotonic()
    sink.settimeout(quiet_s)
    while time.monotonic() - last < quiet_s:
        try:
            sink.recv(1 << 16)
        except OSError:
            break
        count, last = count + 1, time.monotonic()
    return count


class Ends:
    """This end, in the namespace of this process, and the other one, in one of its own."""

    def __init__(self) -> None:
        command = ["unshare", "--net", sys.executable, "-m", "tests.system.far_end", "--far"]
        self._far = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        own = Path("/proc/self/ns/net").readlink()
        deadline = time.monotonic() + LIMIT_S
        while Path(f"/proc/{self._far.pid}/ns/net").readlink() == own:
            assert time.monotonic() < deadline
        link.make_veth(INTERFACE, self._far.pid)
        link.configure(INTERFACE, f"{HERE}/30", None)
        self.port: int = self.far("configure")

    def close(self) -> None:
        self._far.communicate()

    def tell(self, do: str, **parameters: Any) -> None:
        assert self._far.stdin
        self._far.stdin.write(json.dumps({"do": do, **parameters}) + "\n")
        self._far.stdin.flush()

    def answer(self) -> Any:
        assert self._far.stdout
        return json.loads(self._far.stdout.readline())

    def far(self, do: str, **parameters: Any) -> Any:
        self.tell(do, **parameters)
        return self.answer()

    def shape(self, *shape: Any) -> dict[str, Any] | None:
        """Both ends."""
        self.far("shape", shape=shape)
        return shaping.shape(INTERFACE, shaping.Shape(*shape), shaping.MOST_SEGMENTS)

    def stream(self, bits_per_s: int | None, delay_s: float) -> dict[str, Any]:
        """As a lab measures a link, and the largest packet that TCP handed over meanwhile."""
        port = self.far("serve")
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as tap:
            tap.bind((INTERFACE, 0))
            tap.setblocking(False)
            measured = link.measure(INTERFACE, THERE, port, bits_per_s, 2 * delay_s)
            measured["largest_packet"] = _largest(tap)
        return measured

    def datagrams(self, bits_per_s: float, seconds: float, quiet_s: float) -> dict[str, Any]:
        """Send datagrams at a rate on the wire: how many were sent, came, and left, and the rate at which they left in the middle."""
        self.tell("count", until_quiet_s=quiet_s)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
            closing(QdiscReader(INTERFACE)) as qdisc,
        ):
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            payload, sent = bytes(PAYLOAD), 0
            started = time.monotonic()
            first, middle = _read(qdisc), None
            while (elapsed := time.monotonic() - started) < seconds:
                if middle is None and elapsed > seconds / 3:
                    middle = (time.monotonic(), _read(qdisc))
                due = int(elapsed * bits_per_s / 8 / WIRE)
                for _ in range(due - sent):
                    sender.sendto(payload, (THERE, self.port))
                sent = due
                time.sleep(0.001)
            ended, last = time.monotonic(), _read(qdisc)
            came = self.answer()
            done = _read(qdisc)
        assert middle
        return {
            "sent": sent,
            "came": came,
            "left": (done.sent_bytes - first.sent_bytes) / WIRE,
            "dropped": done.drops - first.drops,
            "bits_per_s": (last.sent_bytes - middle[1].sent_bytes) * 8 / (ended - middle[0]),
        }


def _read(qdisc: QdiscReader) -> QdiscCounters:
    counters = qdisc.read()
    assert counters
    return counters


def _largest(tap: socket.socket) -> int:
    """The largest packet that has gone out, of those that fit the socket's buffer."""
    largest = 0
    while True:
        try:
            data, address = tap.recvfrom(1 << 17)
        except BlockingIOError:
            return largest
        if address[2] == 4:  # PACKET_OUTGOING
            largest = max(largest, len(data))


def main() -> None:
    """What comes of one shape: `[bits_per_s, delay_s, loss]`."""
    bits_per_s, delay_s, loss = json.loads(sys.argv[1])
    with closing(Ends()) as ends:
        found: dict[str, Any] = {
            "plain": ends.shape(bits_per_s, 0, 0) and ends.stream(bits_per_s, 0),
            "shaping": ends.shape(bits_per_s, delay_s, loss),
            "stream": ends.stream(bits_per_s, delay_s),
        }
        quiet_s = 1 + 2 * delay_s
        if bits_per_s:
            found["paced"] = ends.datagrams(bits_per_s / 2, 6, quiet_s)
            found["flood"] = ends.datagrams(bits_per_s * 1.5, 3, quiet_s)
        found["shown"] = shaping.describe(INTERFACE)
        found["after"] = ends.shape(bits_per_s, 0, 0)
        found["segments_after"] = shaping.segments_of(INTERFACE)
    print(json.dumps(found))


if __name__ == "__main__":
    far_end() if sys.argv[1:] == ["--far"] else main()
