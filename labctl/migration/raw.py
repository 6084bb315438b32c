"""What was seen of a trial, before anything is derived from it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class RawTrial:
    """All that was seen of a trial; what is derived comes later."""

    outcome: str = "interrupted"
    verdict: str | None = None
    reason: str | None = None
    times_ns: dict[str, int] = field(default_factory=dict)
    """state -> the observer's clock when it was entered, and migrate_start, migrate_end, baseline_start, baseline_end"""
    clocks: dict[str, list[dict[str, int]]] = field(default_factory=dict)
    offsets: dict[str, list[dict[str, int]]] = field(default_factory=dict)
    """of each clock that is not the observer's: `offset_ns`, `uncertainty_ns`"""
    qemu: dict[str, dict[str, Any]] = field(default_factory=dict)
    guest: dict[str, Any] = field(default_factory=dict)
    link: dict[str, Any] = field(default_factory=dict)
    rdma: dict[str, dict[str, Any]] = field(default_factory=dict)
    """by side, where RDMA carries it: its port, and what that counted"""
    schedule: dict[str, Any] = field(default_factory=dict)
    final: dict[str, Any] = field(default_factory=dict)
    """last `query-migrate` and `query-status` by side"""
    evidence: dict[str, Any] = field(default_factory=dict)
    """what was seen of each option that was asked for"""
    samples: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    beats: bytes = b""
    vcpus: int = 1
    not_collected: list[str] = field(default_factory=list)
    """what should be here and could not be had, and why"""
