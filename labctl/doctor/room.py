"""Looks at room: memory, live state, disk."""

import os
import shutil
from pathlib import Path

from labctl.doctor.check import Missing, root_prefix
from labctl.units import parse_size

MEMINFO = Path("/proc/meminfo")
LIVE = Path("/run")
RUNS = Path("runs")
# Twice the quickstart's 256 MiB, each machine's own overhead, and the controller with its tables.
NEEDED_MEMORY_BYTES = parse_size("1GiB")
NEEDED_DISK_BYTES = parse_size("512MiB")


def memory() -> str:
    """Memory that the kernel says can be had without swapping."""
    lines = MEMINFO.read_text().splitlines()
    available = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), "0")
    return _enough(int(available) * 1024, NEEDED_MEMORY_BYTES, "available")


def live() -> str:
    """Whether live state can be kept in /run."""
    if not LIVE.is_dir():
        raise Missing(f"there is no {LIVE}")
    if os.access(LIVE, os.W_OK):
        return f"{LIVE} can be written"
    if os.geteuid() == 0:
        raise Missing(f"{LIVE} cannot be written")
    root_prefix()
    return f"{LIVE} can be written by root"


def disk() -> str:
    """Free space where results go."""
    place = RUNS if RUNS.is_dir() else Path()
    if not os.access(place, os.W_OK):
        raise Missing(f"{place.resolve()} cannot be written")
    return _enough(shutil.disk_usage(place).free, NEEDED_DISK_BYTES, f"free in {place.resolve()}")


def _enough(there_bytes: int, needed_bytes: int, where: str) -> str:
    said = f"{there_bytes / 2**30:.1f} GiB {where}"
    if there_bytes < needed_bytes:
        raise Missing(f"{said}; {needed_bytes / 2**30:.1f} GiB are needed")
    return said
