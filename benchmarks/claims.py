"""Every claim, in the order of the table."""

from benchmarks import (
    blackout,
    dirty,
    intervals,
    memory,
    pairs,
    provisioning,
    rates,
    regression,
    sampling,
    scale,
    scraping,
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
    scraping.CLAIM,
    memory.CLAIM,
    start.CLAIM,
    provisioning.CLAIM,
    ssh.CLAIM,
    pairs.CLAIM,
    intervals.CLAIM,
    regression.CLAIM,
    scale.CLAIM,
)
