"""Every wait of a trial, by name, with its time-out in seconds."""

from typing import Final

START_S: Final = 20.0
"""QEMU starts and its monitor answers"""
BOOT_S: Final = 20.0
"""the guest's first beat after QEMU was started"""
SLOWEST_FILL_BYTES_PER_S: Final = 64 << 20
"""the fill, and the check, must go at least at this speed"""
FILL_BASE_S: Final = 10.0
"""beside the fill's share of memory"""
QMP_S: Final = 15.0
"""a QMP command that is not the migration itself"""
RESUME_S: Final = 15.0
"""the guest beats on the side that QEMU says it runs on"""
ALIVE_S: Final = 1.0
"""a machine that runs beats some more"""
CHECK_BASE_S: Final = 10.0
"""beside the check's share of memory"""
END_S: Final = 20.0
"""QEMU ends and its record is read"""


def fill_s(memory_bytes: int) -> float:
    """The guest fills its memory."""
    return FILL_BASE_S + memory_bytes / SLOWEST_FILL_BYTES_PER_S


def check_s(memory_bytes: int) -> float:
    """The guest checks its memory."""
    return CHECK_BASE_S + memory_bytes / SLOWEST_FILL_BYTES_PER_S
