"""What a host can do, as found by asking it: what the rules of a plan are given."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Capabilities(BaseModel):
    """What one host and its QEMU can do, as found by asking them."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    host: str = ""
    """tells hosts apart; two ends with the same value share one memory"""
    qemu_version: str
    qemu_path: str
    accelerator: str
    """kvm or tcg: the one that was tried and works"""
    machine_type: str
    migration_capabilities: list[str]
    """names that `query-migrate-capabilities` answers"""
    refused: dict[str, str] = Field(default_factory=dict)
    """`source:multifd+multifd-compression=zstd` -> QEMU's own message; without a role it holds for both"""
    userfaultfd: bool
    """a process of the kind that runs QEMU may handle page faults of the kernel"""
    memory_available_bytes: int
    cpus: int
    zero_copy: bool = True
    """the link carries what was sent without a copy; a veth pair does not"""
    shapeable: bool = True
    """the interface of the link may be shaped; one that carries SSH may not"""
    fixed_mtu: int | None = None
    """the MTU of an interface that carries SSH; None: it may be set"""
    netem_refused: str | None = "it was not asked"
    """what the kernel says when it is asked to delay packets; None: it can"""
    rdma: bool = False
    """the interface that migrations cross has an RDMA device, its port is active, and QEMU can use it"""
    rdma_provider: str | None = None
    """that device's driver: `mlx5_core` and kin; `rxe` and `siw` are the kernel's own, in software"""
    rdma_fault: str | None = None
    """why `rdma` is false, where that is known"""
    others: dict[str, "Capabilities"] = Field(default_factory=dict)
    """the same host's with another QEMU than the lab's own, by its path"""

    missing: str | None = None
    """why there is no such QEMU; then nothing else here was asked of it"""

    def with_each(self, **changes: Any) -> "Capabilities":
        """The same with changes that hold whatever QEMU is used."""
        others = {path: with_it.with_each(**changes) for path, with_it in self.others.items()}
        return self.model_copy(update={**changes, "others": others})

    def of(self, qemu: str | None) -> "Capabilities":
        """Those with the QEMU of that path, or with the lab's own."""
        if qemu is None:
            return self
        unasked = self.model_copy(update={"missing": f"{qemu} was not asked"})
        return self.others.get(qemu, unasked)
