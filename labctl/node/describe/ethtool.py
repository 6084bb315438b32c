"""What the driver of an interface says, by the ioctl of ethtool: no program, no privilege, the agent's own network namespace.

A question that a driver does not answer is left out. The numbers are those of ``linux/ethtool.h``.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from typing import Any

_SIOCETHTOOL = 0x8946
_IFREQ = struct.Struct("16sP16x")
_GSET, _GDRVINFO, _GCOALESCE, _GRINGPARAM, _GPAUSEPARAM = 0x1, 0x3, 0xE, 0x10, 0x12
_GFLAGS, _GCHANNELS = 0x25, 0x3C
_OFFLOADS = {
    "rx_checksum": 0x14, "tx_checksum": 0x16, "scatter_gather": 0x18, "tso": 0x1E, "gso": 0x23, "gro": 0x2B,
}  # fmt: skip
_FLAG_LRO = 1 << 15
_DRVINFO = struct.Struct("=4x32s32s32s32s32s12x5I")
_SETTINGS = struct.Struct("=4x4x4xH6x4x4xH14x")
_UNKNOWN_SPEEDS = (0, 0xFFFF, 0xFFFFFFFF)


class Ethtool:
    """Asks about the interfaces of the network namespace that it was made in. :raise OSError: when there is no network."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def describe(self, interface: bytes) -> dict[str, Any]:
        """All that its driver says."""
        return {
            **self._driver(interface),
            "speed_mbit_per_s": self._speed(interface),
            **self._queues(interface),
            **self._rings(interface),
            **self._coalescing(interface),
            **self._pause(interface),
            "offloads": self._offloads(interface),
        }

    def _driver(self, interface: bytes) -> dict[str, str | None]:
        said = self._ask(interface, _GDRVINFO, _DRVINFO.size)
        if said is None:
            return {}
        driver, version, firmware, bus = (_text(field) for field in _DRVINFO.unpack(said)[:4])
        return {"driver": driver, "driver_version": version, "firmware": firmware, "bus": bus}

    def _speed(self, interface: bytes) -> int | None:
        said = self._ask(interface, _GSET, _SETTINGS.size)
        if said is None:
            return None
        low, high = _SETTINGS.unpack(said)
        speed = int(high) << 16 | int(low)
        return None if speed in _UNKNOWN_SPEEDS else speed

    def _queues(self, interface: bytes) -> dict[str, int]:
        said = self._numbers(interface, _GCHANNELS, 9)
        if said is None:
            return {}
        received, sent, _other, both = said[5:]
        return {"rx_queues": received + both, "tx_queues": sent + both}

    def _rings(self, interface: bytes) -> dict[str, int]:
        said = self._numbers(interface, _GRINGPARAM, 9)
        return {} if said is None else {"rx_ring_packets": said[5], "tx_ring_packets": said[8]}

    def _coalescing(self, interface: bytes) -> dict[str, Any]:
        said = self._numbers(interface, _GCOALESCE, 23)
        if said is None:
            return {}
        adaptive = {"rx_coalesce_adaptive": bool(said[10]), "tx_coalesce_adaptive": bool(said[11])}
        return {"rx_coalesce_us": said[1], "tx_coalesce_us": said[5], **adaptive}

    def _pause(self, interface: bytes) -> dict[str, bool]:
        said = self._numbers(interface, _GPAUSEPARAM, 4)
        return {} if said is None else {"rx_pause": bool(said[2]), "tx_pause": bool(said[3])}

    def _offloads(self, interface: bytes) -> dict[str, bool]:
        found = {}
        for name, command in _OFFLOADS.items():
            said = self._numbers(interface, command, 2)
            if said is not None:
                found[name] = bool(said[1])
        said = self._numbers(interface, _GFLAGS, 2)
        if said is not None:
            found["lro"] = bool(said[1] & _FLAG_LRO)
        return found

    def _numbers(self, interface: bytes, command: int, count: int) -> tuple[int, ...] | None:
        said = self._ask(interface, command, 4 * count)
        return None if said is None else struct.unpack(f"={count}I", said)

    def _ask(self, interface: bytes, command: int, size_bytes: int) -> bytes | None:
        answer = array.array("B", struct.pack("=I", command).ljust(size_bytes, b"\0"))
        try:
            fcntl.ioctl(self._socket, _SIOCETHTOOL, _IFREQ.pack(interface, answer.buffer_info()[0]))
        except OSError:
            return None
        return answer.tobytes()


def _text(field: bytes) -> str | None:
    text = field.partition(b"\0")[0].decode(errors="replace").strip()
    return None if text in ("", "N/A") else text
