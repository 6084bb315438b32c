"""What a cell asks of QEMU: the capabilities its options turn on, the parameters they set.

One row an option: adding one adds a field in `specs` and a line here.
"""

from typing import Any

from labctl.campaign.cells import Cell
from labctl.campaign.specs import MIB, RDMA

WITH_POSTCOPY = ("postcopy", "hybrid")
"""kinds that switch to postcopy"""
WITH_PASSES = ("precopy", "hybrid")
"""kinds that may send a page more than once"""


def asked_capabilities(cell: Cell) -> frozenset[str]:
    """The migration capabilities of QEMU that a trial of this cell turns on."""
    algorithm = cell.algorithm
    asked = {
        "events": True,
        "postcopy-ram": algorithm.kind in WITH_POSTCOPY,
        "postcopy-preempt": algorithm.preempt,
        "multifd": algorithm.multifd_channels > 0,
        "zero-copy-send": algorithm.zero_copy,
        "xbzrle": algorithm.xbzrle_cache_bytes is not None,
        "auto-converge": algorithm.auto_converge,
        "dirty-limit": algorithm.dirty_limit_bytes_per_s is not None,
        "rdma-pin-all": algorithm.pin_all,
    }
    return frozenset(name for name, on in asked.items() if on)


def asked_parameters(cell: Cell) -> dict[str, Any]:
    """The parameters that its options set, beside the limits of every migration."""
    algorithm = cell.algorithm
    asked: dict[str, Any] = {}
    if algorithm.multifd_channels:
        asked["multifd-channels"] = algorithm.multifd_channels
    if algorithm.multifd_compression != "none":
        asked["multifd-compression"] = algorithm.multifd_compression
    if algorithm.xbzrle_cache_bytes is not None:
        asked["xbzrle-cache-size"] = algorithm.xbzrle_cache_bytes
    if algorithm.auto_converge:
        asked["cpu-throttle-initial"] = algorithm.auto_converge_initial
        asked["cpu-throttle-increment"] = algorithm.auto_converge_increment
        asked["max-cpu-throttle"] = algorithm.auto_converge_max
    if algorithm.dirty_limit_bytes_per_s is not None:
        asked["vcpu-dirty-limit"] = algorithm.dirty_limit_bytes_per_s // MIB
    if algorithm.max_postcopy_bandwidth_bytes_per_s is not None:
        asked["max-postcopy-bandwidth"] = algorithm.max_postcopy_bandwidth_bytes_per_s
    return asked


def asked_words(cell: Cell) -> frozenset[str]:
    """All of it in the words that QEMU is asked in: `multifd`, `multifd-compression=zstd`, and `rdma` where that carries it."""
    parameters = (f"{name}={value}" for name, value in asked_parameters(cell).items())
    carried = {RDMA} if cell.transport == RDMA else set()
    return asked_capabilities(cell) | frozenset(parameters) | carried
