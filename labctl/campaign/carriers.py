"""What carries a migration, by the name that it has wherever it is shown: `tcp`, `rdma`, or `rdma (soft-RoCE)`.

RDMA that the kernel does in software shows that a migration works, and nothing of how fast RDMA is. So its name says what it is in
every table, figure, file and label, and nothing ranks it.
"""

from collections.abc import Iterable
from typing import Final

from labctl.campaign.capabilities import Capabilities
from labctl.campaign.specs import RDMA, Transport

SOFTWARE: Final = {"rxe": "soft-RoCE", "siw": "soft-iWARP"}
"""the kernel's own RDMA devices, by their driver"""
_MARKED: Final = {f"{RDMA} ({name})": name for name in SOFTWARE.values()}


def carrier(transport: str, provider: str | None) -> str:
    """The name of a transport whose RDMA device, where it has one, has this driver; None: not known."""
    return f"{RDMA} ({SOFTWARE[provider]})" if transport == RDMA and provider in SOFTWARE else transport  # fmt: skip


def in_software(name: str) -> bool:
    """Whether a carrier's name says that it is RDMA in software."""
    return name in _MARKED


def provider_of(transport: Transport, ends: Iterable[Capabilities]) -> str | None:
    """The RDMA driver that a transport meets at these ends: where one is in software, that one. None where nobody knows it."""
    providers = (
        [end.rdma_provider for end in ends if end.rdma_provider] if transport == RDMA else []
    )
    return min(providers, key=lambda provider: provider not in SOFTWARE, default=None)


def caveat(names: Iterable[str]) -> str | None:
    """What a reader of figures by these carriers has to know; None where nothing."""
    software = [_MARKED[name] for name in dict.fromkeys(names) if name in _MARKED]
    if not software:
        return None
    what = " and ".join(software)
    return f"RDMA here is {what}, the kernel's own in software: it shows that it works, not how fast RDMA is."
