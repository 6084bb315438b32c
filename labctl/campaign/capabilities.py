"""What a host can do, as found by asking it: what the rules of a plan are given."""

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
    """`source:multifd+postcopy-ram` -> QEMU's own message; without a role it holds for both"""
    userfaultfd: bool
    """a process of the kind that runs QEMU may handle page faults of the kernel"""
    memory_available_bytes: int
    cpus: int
    rdma: bool = False
    """an RDMA device is there and QEMU can use it"""
