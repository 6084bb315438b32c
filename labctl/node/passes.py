"""Passes over the memory, counted by what was sent.

QEMU announces MIGRATION_PASS whenever it has synchronised its dirty bitmap. In 10.0 that is when a pass ends; 11.1 does it
every 50 to 80 ms where postcopy is on (17 times within the first pass of a machine of 64 MiB). So an announcement counts as the
end of a pass only when as much has been sent since the pass began as was left then.
"""

from __future__ import annotations

from typing import Any

WHOLE = 0.97
"""Of what was left: pages that are discarded meanwhile are counted nowhere."""


class Passes:
    """Fed with QEMU's replies to ``query-migrate`` as it announces passes.

    :ivar over: passes that are over
    :ivar left: bytes that were left when the present pass began
    :ivar left_before: when the pass before it began
    """

    def __init__(self) -> None:
        self.over = 0
        self.left: int | None = None
        self.left_before: int | None = None
        self._sent_before = 0

    def announced(self, reply: dict[str, Any]) -> bool:
        """Whether this announcement ends a pass."""
        ram = reply.get("ram")
        if not ram:
            return False
        sent = _sent_bytes(reply, ram)
        left = ram["total"] if self.left is None else self.left
        if sent - self._sent_before < WHOLE * left:
            return False
        self.over += 1
        self.left_before, self.left = left, ram["remaining"]
        self._sent_before = sent
        return True

    def stalled(self, per_cent: float) -> bool:
        """Whether the pass that is over has made less progress than that.

        OpenStack Nova's rule, with 10 per cent: ``should_switch_to_postcopy`` in nova/virt/libvirt/migration.py, and the
        documentation of ``live_migration_permit_post_copy``. Nova compares what libvirt says is left whenever it asks; here it
        is compared from one pass's start to the next one's.
        """
        if not self.left_before or self.left is None:
            return False
        return 100 * (self.left_before - self.left) / self.left_before < per_cent


def _sent_bytes(reply: dict[str, Any], ram: dict[str, Any]) -> int:
    """Bytes of the pages that were sent, in whatever form."""
    cache = reply.get("xbzrle-cache", {})
    # Its pages are those it looked at: one whose difference overflows is sent as a normal page too.
    encoded = cache.get("pages", 0) - cache.get("overflow", 0)
    pages = ram["normal"] + ram["duplicate"] + encoded
    return int(pages * ram["page-size"])
