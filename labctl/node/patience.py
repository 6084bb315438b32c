"""How much longer than usual this agent waits before it gives up: `labctl_patience` of the lab's inventory.

A host that is emulated, or that a transport of RDMA in software keeps busy, may say nothing for tens of seconds and be well. The
factor belongs to the process, as it does to its host: it is set once, before anything is waited for.
"""

from __future__ import annotations

_factor = 1.0


def be(factor: float) -> None:
    """Wait so many times longer from now on."""
    global _factor  # noqa: PLW0603 - see above
    _factor = factor


def longer(seconds: float) -> float:
    """A time-out, as it holds on this host."""
    return seconds * _factor
