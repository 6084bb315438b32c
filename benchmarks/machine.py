"""The machine that the figures come from, and what else it did meanwhile."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labctl.lab import open_lab
from labctl.node.describe import describe


def facts() -> dict[str, Any]:
    """What of this machine, and of the QEMU that labctl chooses on it, can change a figure. LabError, InputError."""
    here = describe()
    with open_lab("local", f"benchmarks-{os.getpid()}", lock=False) as lab:
        end = next(iter(lab.pairs.values())).a
        accelerator = end.capabilities.accelerator
        qemu = end.capabilities.qemu_version
    return {
        "CPU": here["cpu"]["model"],
        "cores": here["cpu"]["usable"],
        "memory": f"{here['memory']['total_bytes'] / 2**30:.0f} GiB",
        "kernel": here["kernel"]["release"],
        "distribution": here["distribution"],
        "QEMU": f"{qemu}, {accelerator}",
        "Python": here["agent"]["python"],
    }


class LoadWatch:
    """Load averages before and after, and the share of CPU time that the hypervisor below took away."""

    def __init__(self) -> None:
        self._before = os.getloadavg()[0]
        self._ticks = _ticks()

    def said(self) -> Mapping[str, Any]:
        """Until now."""
        grown = [now - then for now, then in zip(_ticks(), self._ticks, strict=True)]
        stolen = grown[7] / sum(grown) if sum(grown) else 0.0
        return {
            "before": round(self._before, 2),
            "after": round(os.getloadavg()[0], 2),
            "stolen": round(stolen, 4),
        }


def _ticks() -> list[int]:
    """CPU time by kind: user nice system idle iowait irq softirq steal (proc(5))."""
    return [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
