"""What the agent itself is, and how much it and what it starts may have."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Union

from .. import host
from .keys import Key
from .tree import Tree, number

UNLIMITED = "unlimited"
_CGROUPS = "/sys/fs/cgroup"
_V1_NO_LIMIT_BYTES = 1 << 62
"""What version 1 says where there is no limit: the greatest number that is a multiple of a page."""

Limit = Union[int, str]

AGENT_KEYS = (
    Key("python", "text", "version of the Python that runs the agent"),
    Key("uid", "int", "whom it runs as"),
    Key("state_free_bytes", "int", "room for its live state", varies=True),
    Key("cache_free_bytes", "int", "room where its own file is kept", varies=True),
)
LIMIT_KEYS = (
    Key(
        "memlock_soft_bytes",
        "int or text",
        "memory that the agent, and QEMU with it, may lock, or `unlimited`",
    ),
    Key("memlock_hard_bytes", "int or text", "what that may be raised to, or `unlimited`"),
    Key("memlock_can_be_raised", "bool", "whether the agent may raise even that: tried"),
    Key("open_files_soft", "int or text", "files that they may have open, or `unlimited`"),
    Key("open_files_hard", "int or text", "what that may be raised to, or `unlimited`"),
    Key("cgroup_version", "int", "of the control groups that limit it"),
    Key("cgroup_cpus", "float", "processors' worth of time; null where that is not limited"),
    Key("cgroup_memory_bytes", "int", "memory; null where that is not limited"),
)


def agent() -> dict[str, Any]:
    """The agent."""
    return {
        "python": platform.python_version(),
        "uid": os.getuid(),
        "state_free_bytes": _free_bytes(str(host.STATE_ROOT)),
        "cache_free_bytes": _free_bytes(os.path.dirname(os.path.abspath(sys.argv[0]))),
    }


def _free_bytes(folder: str) -> int | None:
    """Room in a folder, or where it will be made."""
    while True:
        try:
            room = os.statvfs(folder)
        except (OSError, ValueError):
            above = os.path.dirname(folder)
            if above == folder:
                return None
            folder = above
        else:
            return room.f_bavail * room.f_frsize


def describe(tree: Tree) -> dict[str, Any]:
    """The limits."""
    soft, hard = map(limit, resource.getrlimit(resource.RLIMIT_MEMLOCK))
    files_soft, files_hard = map(limit, resource.getrlimit(resource.RLIMIT_NOFILE))
    return {
        "memlock_soft_bytes": soft,
        "memlock_hard_bytes": hard,
        "memlock_can_be_raised": can_raise_memlock(),
        "open_files_soft": files_soft,
        "open_files_hard": files_hard,
        **_cgroup(tree),
    }


def limit(value: int) -> Limit:
    """A resource limit, or `unlimited`."""
    return UNLIMITED if value == resource.RLIM_INFINITY else value


def can_raise_memlock() -> bool:
    """Whether the hard limit can be raised. The soft one, which alone is in force, is not touched, and the hard one is set back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard == resource.RLIM_INFINITY:
        return True
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard + 1))
    except (ValueError, OSError):
        return False
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))
    return True


def _cgroup(tree: Tree) -> dict[str, Any]:
    """The narrowest limit of the agent's group and of those around it."""
    groups = {}  # of each controller, and of version 2, which has none: the agent's group
    for line in (tree.text("/proc/self/cgroup") or "").splitlines():
        _number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        groups.update(dict.fromkeys(controllers.split(","), group))
    cpus: list[float] = []
    memory: list[int] = []
    first_version = "memory" in groups or "cpu" in groups
    if first_version:
        for folder in _upwards(f"{_CGROUPS}/cpu", groups.get("cpu", "/")):
            quota = tree.number(f"{folder}/cpu.cfs_quota_us")
            period = tree.number(f"{folder}/cpu.cfs_period_us")
            cpus += [quota / period] if quota and period and quota > 0 else []
        for folder in _upwards(f"{_CGROUPS}/memory", groups.get("memory", "/")):
            most = tree.number(f"{folder}/memory.limit_in_bytes")
            memory += [most] if most is not None and most < _V1_NO_LIMIT_BYTES else []
    else:
        for folder in _upwards(_CGROUPS, groups.get("", "/")):
            quota_text, _, period_text = (tree.text(f"{folder}/cpu.max") or "").partition(" ")
            quota, period = number(quota_text), number(period_text)
            cpus += [quota / period] if quota and period else []
            most = tree.number(f"{folder}/memory.max")
            memory += [] if most is None else [most]
    return {
        "cgroup_version": (1 if first_version else 2) if groups else None,
        "cgroup_cpus": min(cpus, default=None),
        "cgroup_memory_bytes": min(memory, default=None),
    }


def _upwards(mount: str, group: str) -> Iterator[str]:
    parts = [part for part in group.split("/") if part and part != ".."]
    for length in range(len(parts), -1, -1):
        yield "/".join([mount, *parts[:length]])
