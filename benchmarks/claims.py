"""Every claim, in the order of the table."""

from benchmarks import blackout, start
from benchmarks.claim import Claim

CLAIMS: tuple[Claim, ...] = (blackout.CLAIM, start.CLAIM)
