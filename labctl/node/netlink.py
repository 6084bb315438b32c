"""Questions to the kernel over rtnetlink; above all the counters of an interface's root queueing discipline.

Those are read here and not with ``tc``: a process each 10 ms would disturb what is measured. They include the headers of
every segment also under segmentation offload, where the interface's own do not (``qdisc_pkt_len_init`` in the kernel).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

_RTM_GETQDISC = 38
_NLM_F_REQUEST, _NLM_F_DUMP = 1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_TC_H_ROOT = 0xFFFFFFFF
_TCA_STATS2 = 7
_TCA_STATS_BASIC, _TCA_STATS_QUEUE = 1, 3
_ATTRIBUTE_TYPE = 0x3FFF

_HEADER = struct.Struct("=IHHII")
_TCMSG = struct.Struct("=BxxxiIII")
_ATTRIBUTE = struct.Struct("=HH")
_TIMEOUT_S = 1.0


class QdiscCounters(NamedTuple):
    """What left an interface, was dropped, and waits."""

    sent_bytes: int
    drops: int
    backlog_bytes: int


class QdiscReader:
    """Reads one interface's root qdisc in the network namespace this object was made in."""

    def __init__(self, interface: str) -> None:
        self._index = socket.if_nametoindex(interface)
        self._socket = _open()
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def read(self) -> QdiscCounters | None:
        """The counters now, or None where the interface has no root qdisc that counts."""
        self._sequence += 1
        found = None
        asked = _TCMSG.pack(0, self._index, 0, 0, 0)
        for body in _ask(self._socket, self._sequence, _RTM_GETQDISC, asked):
            found = self._root(body) or found
        return found

    def _root(self, body: bytes) -> QdiscCounters | None:
        _family, index, _handle, parent, _info = _TCMSG.unpack_from(body)
        if index != self._index or parent != _TC_H_ROOT:
            return None
        sent = drops = backlog = 0
        for kind, value in attributes(body[_TCMSG.size :]):
            if kind != _TCA_STATS2:
                continue
            for inner, counters in attributes(value):
                if inner == _TCA_STATS_BASIC:
                    (sent,) = struct.unpack_from("=Q", counters)
                elif inner == _TCA_STATS_QUEUE:
                    _qlen, backlog, drops, _requeues, _overlimits = struct.unpack_from(
                        "=5I", counters
                    )
        return QdiscCounters(sent, drops, backlog)


def dump(kind: int, body: bytes) -> list[bytes]:
    """All that the kernel has of a kind: the body of each message of its answer. :raise OSError: when it does not answer."""
    with closing(_open()) as kernel:
        return list(_ask(kernel, 1, kind, body))


def _open() -> socket.socket:
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    kernel.settimeout(_TIMEOUT_S)
    kernel.bind((0, 0))
    return kernel


def _ask(kernel: socket.socket, ours: int, kind: int, body: bytes) -> Iterator[bytes]:
    """The bodies of the answer to the request with the sequence number `ours`."""
    flags = _NLM_F_REQUEST | _NLM_F_DUMP
    kernel.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, ours, 0) + body)
    while True:
        data = kernel.recv(1 << 16)
        at = 0
        while at < len(data):
            length, answered, _flags, sequence, _pid = _HEADER.unpack_from(data, at)
            if sequence == ours:
                if answered in (_NLMSG_DONE, _NLMSG_ERROR):
                    return
                yield data[at + _HEADER.size : at + length]
            at += (length + 3) & ~3


def attributes(data: bytes) -> list[tuple[int, bytes]]:
    """The attributes of a message, or of an attribute that holds others: their types and values."""
    found = []
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        found.append((kind & _ATTRIBUTE_TYPE, data[at + _ATTRIBUTE.size : at + length]))
        at += (length + 3) & ~3
    return found
