"""What an RDMA port has carried. Its packets are none of the interface's where a card sends them by itself.

Cards count bytes (``counters/port_xmit_data`` and kin, in units of four); the kernel's own soft-RoCE has no such files, and counts
packets under ``hw_counters``. Its driver reads them anew when they are older than ``hw_counters/lifespan`` says, some 10 ms.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from .describe.rdma import DEVICES
from .describe.tree import Tree

_WORD_BYTES = 4
_LINE_BYTES = 64
_FOLDERS = ("counters", "hw_counters")
_NO_COUNTER = "lifespan"
_RETRIES = (
    # soft-RoCE
    "duplicate_request", "out_of_seq_request", "rcvd_rnr_err", "send_rnr_err", "rcvd_seq_err", "completer_retry_err",
    # mlx5
    "out_of_sequence", "packet_seq_err", "rnr_nak_retry_err", "local_ack_timeout_err", "implied_nak_seq_err",
)  # fmt: skip


class PortBytes(NamedTuple):
    """What crossed a port, and how often it took more than one try; None where the port does not count it."""

    tx_bytes: int | None
    rx_bytes: int | None
    tx_packets: int | None
    rx_packets: int | None
    retries: int | None


class PortCounters:
    """The counters of one port, read again and again; their files are kept open."""

    def __init__(self, device: str, port: int, root: str = "/") -> None:
        base = Tree(root).path(f"{DEVICES}/{device}/ports/{port}")
        self._tx_words = _open(f"{base}/counters/port_xmit_data")
        self._rx_words = _open(f"{base}/counters/port_rcv_data")
        self._tx_packets = _open(
            f"{base}/counters/port_xmit_packets", f"{base}/hw_counters/sent_pkts"
        )
        self._rx_packets = _open(
            f"{base}/counters/port_rcv_packets", f"{base}/hw_counters/rcvd_pkts"
        )
        tried = (_open(f"{base}/hw_counters/{name}") for name in _RETRIES)
        self._retries = [handle for handle in tried if handle is not None]

    def read(self) -> PortBytes:
        """The counters now. :raise OSError: when the device has gone"""
        tx, rx = _read(self._tx_words), _read(self._rx_words)
        retries = [_read(handle) or 0 for handle in self._retries]
        return PortBytes(
            None if tx is None else tx * _WORD_BYTES,
            None if rx is None else rx * _WORD_BYTES,
            _read(self._tx_packets),
            _read(self._rx_packets),
            sum(retries) if retries else None,
        )

    def close(self) -> None:
        """Close the files."""
        fixed = (self._tx_words, self._rx_words, self._tx_packets, self._rx_packets)
        for handle in (*fixed, *self._retries):
            if handle is not None:
                os.close(handle)


def everything(device: str, port: int, root: str = "/") -> dict[str, int]:
    """Every counter of a port, as the kernel names and counts it."""
    tree = Tree(root)
    found = {}
    for folder in _FOLDERS:
        base = f"{DEVICES}/{device}/ports/{port}/{folder}"
        for name in tree.names(base):
            value = tree.number(f"{base}/{name}")
            if value is not None and name != _NO_COUNTER:
                found[name] = value
    return found


def _open(*paths: str) -> int | None:
    """The first of these files that is there."""
    for path in paths:
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
    return None


def _read(handle: int | None) -> int | None:
    return None if handle is None else int(os.pread(handle, _LINE_BYTES, 0))
