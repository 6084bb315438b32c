"""A control group for each host. Without one of their own all containers that systemd does not know of share a single one, and
stopping a service on one host waits for, and counts, the processes of the same service on another.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

from tests.hosts.numbers import claimed

_OURS = re.compile(r"labctl-hosts-(\d+)-.+")


def make(name: str) -> list[Path]:
    """Make the group in each hierarchy that systemd keeps its services in (two, where version 1 is beside version 2)."""
    made = []
    for parent in parents():
        group = parent / name
        group.mkdir(exist_ok=True)
        made.append(group)
    return made


def remove(name: str) -> None:
    """Remove it and what the host's systemd made in it, as far as no process is left there."""
    for parent in parents():
        for folder, _, _ in os.walk(parent / name, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()


def leftovers() -> list[str]:
    """The groups of hosts whose session has died."""
    live = claimed()
    named = (_OURS.fullmatch(path.name) for parent in parents() for path in parent.iterdir())
    return sorted({match[0] for match in named if match and int(match[1]) not in live})


def parents() -> list[Path]:
    """Our own group, in each of those hierarchies."""
    mounted = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2":
            mounted[""] = before.split(" ")[4]
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            mounted["name=systemd"] = before.split(" ")[4]
    parents = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, hierarchy, path = line.split(":", 2)
        if hierarchy in mounted:
            parents.append(Path(mounted[hierarchy] + path))
    return [path for path in parents if path.is_dir()]
