"""Which build of QEMU it is that runs: its file, and what accelerators were compiled into it."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import Any

from .machine import Machine

QMP_TIMEOUT_S = 5.0
_CHUNK_BYTES = 1 << 20
_OF_AN_ACCELERATOR = "-accel"


async def describe(machine: Machine) -> dict[str, Any]:
    """The build of a machine that runs: ``sha256 size_bytes accelerators``; what may not be looked at is null.

    :raise RequestError: ``qemu-died``, ``timeout``
    """
    types = await machine.execute(
        "qom-list-types", {"implements": "accel", "abstract": False}, timeout_s=QMP_TIMEOUT_S
    )
    names = (one["name"] for one in types)
    said: dict[str, Any] = {
        "sha256": None,
        "size_bytes": None,
        "accelerators": sorted(
            name[: -len(_OF_AN_ACCELERATOR)] for name in names if name.endswith(_OF_AN_ACCELERATOR)
        ),
    }
    with suppress(OSError):
        said["sha256"], said["size_bytes"] = fingerprint(program(machine.pid))
    return said


def program(pid: int) -> str:
    """The file that a process runs; where a loader was started to load it, the file that it loaded. :raise OSError:"""
    exe = f"/proc/{pid}/exe"
    if not os.path.basename(os.readlink(exe)).startswith("ld-"):
        return exe
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            # address, rights, offset, device, inode, and of a mapped file its path
            words = line.rstrip("\n").split(None, 5)
            name = os.path.basename(words[-1])
            if len(words) == 6 and "x" in words[1] and words[5][0] == "/" and ".so" not in name:
                return f"/proc/{pid}/root{words[5]}"
    return exe


def fingerprint(path: str) -> tuple[str, int]:
    """SHA-256 and size in bytes of a file. :raise OSError:"""
    digest = hashlib.sha256()
    size_bytes = 0
    with open(path, "rb") as file:
        while True:
            chunk = file.read(_CHUNK_BYTES)
            if not chunk:
                return digest.hexdigest(), size_bytes
            digest.update(chunk)
            size_bytes += len(chunk)
