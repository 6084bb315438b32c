"""Every claim, in the order of the table."""

from benchmarks import blackout, start, total_time, wire
from benchmarks.claim import Claim

CLAIMS: tuple[Claim, ...] = (blackout.CLAIM, wire.CLAIM, total_time.CLAIM, start.CLAIM)
