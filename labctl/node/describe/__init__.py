"""What of this host can change a result: what `hello` and `probe` say of it, and environment.json holds.

One module a subject; each has the table of its keys beside the code that fills them. All of it is optional: what cannot be
read is null or absent. Nothing of it says who somebody is, and nothing is a secret. It takes some milliseconds.

==================  ==========================================================
:mod:`.tree`        reading small files below a root, which tests change
:mod:`.keys`        what a key means
:mod:`.cpu`         the processors
:mod:`.kernel`      the kernel, the machine below it, KVM
:mod:`.memory`      memory
:mod:`.limits`      the agent, and what limits it
:mod:`.tuning`      tuning in force
:mod:`.network`     the interfaces
:mod:`.ethtool`     what their drivers say
:mod:`.rdma`        RDMA devices
:mod:`.clock`       the clocks
==================  ==========================================================
"""

from __future__ import annotations

from typing import Any, Callable

from . import clock, cpu, kernel, limits, memory, network, rdma, tuning
from .keys import Key, below
from .tree import Tree

KEYS = (
    Key("hostname", "text", "the name that it goes by"),
    Key("distribution", "text", "what it calls itself"),
    *below("agent", limits.AGENT_KEYS),
    *below("cpu", cpu.KEYS),
    *below("kernel", kernel.KERNEL_KEYS),
    *below("machine", kernel.MACHINE_KEYS),
    *below("kvm", kernel.KVM_KEYS),
    *below("memory", memory.KEYS),
    *below("limits", limits.LIMIT_KEYS),
    *below("tuning", tuning.KEYS),
    *below("network", network.KEYS),
    *below("rdma", rdma.KEYS),
    *below("clock", clock.KEYS),
    Key("faults.<name>", "text", "why a part is missing that the agent failed to describe: a fault of labctl"),
)  # fmt: skip
"""Every key of a description."""

_PARTS: dict[str, Callable[[Tree], Any]] = {
    "distribution": kernel.distribution,
    "agent": lambda _tree: limits.agent(),
    "cpu": cpu.describe,
    "kernel": kernel.describe,
    "machine": kernel.machine,
    "kvm": kernel.kvm,
    "memory": memory.describe,
    "limits": limits.describe,
    "tuning": tuning.describe,
    "network": network.describe,
    "rdma": rdma.describe,
    "clock": clock.describe,
}


def describe(root: str = "/") -> dict[str, Any]:
    """What of this host can change a result; `KEYS` says what each key means.

    :param root: of the files that are read. Interfaces, limits and clocks are asked of the kernel, and are this host's.
    """
    tree = Tree(root)
    said: dict[str, Any] = {"hostname": kernel.hostname(tree)}
    faults: dict[str, str] = {}
    for name, part in _PARTS.items():
        try:
            said[name] = part(tree)
        except Exception as error:  # noqa: BLE001 - it ends no run, and is not hidden
            faults[name] = f"{type(error).__name__}: {error}"
    return {**said, "faults": faults} if faults else said
