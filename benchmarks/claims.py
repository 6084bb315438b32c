"""Every claim, in the order of the table."""

from benchmarks import (
    blackout,
    dirty,
    memory,
    pairs,
    provisioning,
    rates,
    sampling,
    ssh,
    start,
    total_time,
    wire,
)
from benchmarks.claim import Claim

CLAIMS: tuple[Claim, ...] = (
    blackout.CLAIM,
    rates.CLAIM,
    dirty.CLAIM,
    wire.CLAIM,
    total_time.CLAIM,
    sampling.CLAIM,
    memory.CLAIM,
    start.CLAIM,
    provisioning.CLAIM,
    ssh.CLAIM,
    pairs.CLAIM,
)
