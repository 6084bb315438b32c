"""The host's clocks: both read together, how far the kernel takes them to be off, and what keeps them."""

from __future__ import annotations

import ctypes
import os
import subprocess
from typing import Any

from .. import procfs
from .keys import Key
from .tree import Tree, number, real

_STA_UNSYNC, _STA_NANO = 0x40, 0x2000
_TIME_ERROR = 5
_SCALED_PPM = 1 << 16
_CHRONYC_TIMEOUT_S = 0.5
_PID_FILES = {
    "chronyd": ("/run/chrony/chronyd.pid", "/run/chronyd.pid"),
    "ntpd": ("/run/ntpd.pid", "/run/ntp/ntpd.pid"),
}
_CHRONY = (
    "stratum", None, "offset_s", "last_offset_s", "rms_offset_s", "frequency_ppm", None, "skew_ppm", "root_delay_s",
    "root_dispersion_s", "update_interval_s", "leap",
)  # fmt: skip
"""What ``chronyc -c tracking`` says, but for its first two words: who the server is."""

KEYS = (
    Key("anchor.monotonic_ns", "int", "CLOCK_MONOTONIC, when it was read with the other one", varies=True),
    Key("anchor.realtime_ns", "int", "CLOCK_REALTIME", varies=True),
    Key("service", "text", "what keeps it: `chronyd`, `systemd-timesyncd`, `ntpd`; null: none of them"),
    Key("synchronised", "bool", "whether the kernel takes it to be so"),
    Key("estimated_error_us", "int", "as whoever keeps it has told the kernel", varies=True),
    Key("maximum_error_us", "int", "the same; it grows by itself while nobody does", varies=True),
    Key("offset_us", "float", "what the kernel still has to make up", varies=True),
    Key("frequency_ppm", "float", "by how much the kernel makes it faster", varies=True),
    Key("tai_offset_s", "int", "leap seconds, where they were told"),
    Key("chrony.stratum", "int", "chronyd's distance to a true clock"),
    Key("chrony.offset_s", "float", "to go until its time is right", varies=True),
    Key("chrony.last_offset_s", "float", "at its last update", varies=True),
    Key("chrony.rms_offset_s", "float", "over its last updates", varies=True),
    Key("chrony.frequency_ppm", "float", "by how much the clock would be fast without it", varies=True),
    Key("chrony.skew_ppm", "float", "error of that", varies=True),
    Key("chrony.root_delay_s", "float", "round trip to the true clock", varies=True),
    Key("chrony.root_dispersion_s", "float", "what has added up on the way", varies=True),
    Key("chrony.update_interval_s", "float", "between its last updates", varies=True),
    Key("chrony.leap", "text", "`Normal`, `Not synchronised`, or the leap second that is due"),
)  # fmt: skip


class _Timex(ctypes.Structure):
    """The kernel's `struct timex` (adjtimex(2))."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        *((name, ctypes.c_long) for name in ("constant", "precision", "tolerance")),
        *((name, ctypes.c_long) for name in ("time_s", "time_us", "tick", "ppsfreq", "jitter")),
        ("shift", ctypes.c_int),
        *((name, ctypes.c_long) for name in ("stabil", "jitcnt", "calcnt", "errcnt", "stbcnt")),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    ]


def describe(tree: Tree) -> dict[str, Any]:
    """The clocks."""
    monotonic_ns, realtime_ns = procfs.anchors()
    service = _service(tree)
    return {
        "anchor": {"monotonic_ns": monotonic_ns, "realtime_ns": realtime_ns},
        "service": service,
        **_kernel(),
        **({"chrony": _chrony()} if service == "chronyd" else {}),
    }


def _kernel() -> dict[str, Any]:
    """What the kernel says when nothing is set."""
    said = _Timex()
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(said))
    except (OSError, AttributeError):
        return {}
    if state < 0:
        return {}
    return {
        "synchronised": not said.status & _STA_UNSYNC and state != _TIME_ERROR,
        "estimated_error_us": said.esterror,
        "maximum_error_us": said.maxerror,
        "offset_us": said.offset / 1000 if said.status & _STA_NANO else float(said.offset),
        "frequency_ppm": said.freq / _SCALED_PPM,
        "tai_offset_s": said.tai or None,
    }


def _service(tree: Tree) -> str | None:
    for name, paths in _PID_FILES.items():
        for path in paths:
            pid = tree.number(path)
            if pid is not None and tree.text(f"/proc/{pid}/comm") == name:
                return name
    # Its folder is there while it runs.
    return "systemd-timesyncd" if tree.is_there("/run/systemd/timesync") else None


def _chrony() -> dict[str, Any]:
    """What chronyd says of itself; empty when it cannot be asked."""
    try:
        done = subprocess.run(
            # -n: no name is looked up.
            ["chronyc", "-c", "-n", "tracking"],
            capture_output=True, text=True, errors="replace", timeout=_CHRONYC_TIMEOUT_S, check=False,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return read_tracking(done.stdout) if done.returncode == 0 else {}


def read_tracking(text: str) -> dict[str, Any]:
    """A line of ``chronyc -c tracking``; null for each word that is not what it should be."""
    words = text.strip().split(",")[2:]
    said = {name: word for name, word in zip(_CHRONY, words) if name is not None}
    leap, stratum = said.pop("leap", None), said.pop("stratum", None)
    return {
        "stratum": number(stratum),
        **{name: real(word) for name, word in said.items()},
        "leap": leap or None,
    }
