"""Rules on what QEMU accepts and then breaks: asking it cannot tell, so each names a condition that was proven on the binaries.

These are the only rules that know a version. Each was shown both ways by real migrations: what it refuses breaks, and the
nearest that it allows works (`python -m tests.combinations`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from labctl.campaign.asked import asked_words
from labctl.campaign.capabilities import Capabilities
from labctl.campaign.cells import Cell
from labctl.campaign.rule import Ends, Rule
from labctl.campaign.specs import RDMA

SAYS_SO = (10, 0)
"""the oldest QEMU known to refuse by itself what it cannot do with multifd, or with RDMA"""
LOSES_WRITES = (11, 1)
"""the oldest QEMU in which what has postcopy on was seen to lose writes under TCG; 10.0 does not"""


def version_of(end: Capabilities) -> tuple[int, int]:
    """Major and minor number of an end's QEMU; what cannot be read is taken for new."""
    numbers = end.qemu_version.split(".")
    if len(numbers) < 2 or not (numbers[0].isdigit() and numbers[1].isdigit()):
        return (99, 0)
    return int(numbers[0]), int(numbers[1])


@dataclass(frozen=True)
class Breaks:
    """Refuses capabilities together, or with RDMA, where one of the ends is such a QEMU."""

    asked: frozenset[str]
    where: Callable[[Capabilities], bool]
    what_happens: str

    def __call__(self, cell: Cell, ends: Ends) -> str | None:
        """The reason, or None."""
        if not self.asked <= asked_words(cell):
            return None
        for role, end in ends.roles():
            if self.where(end):
                return f"QEMU {end.qemu_version} at the {role} {self.what_happens}"
        return None


def _old(end: Capabilities) -> bool:
    return version_of(end) < SAYS_SO


def _loses_writes(end: Capabilities) -> bool:
    return end.accelerator == "tcg" and version_of(end) >= LOSES_WRITES


PROVEN_RULES: tuple[Rule, ...] = (
    Rule(
        "multifd-postcopy-breaks",
        "multifd and postcopy are asked for together of a QEMU older than 10.0, which accepts that and "
        "breaks.",
        "7.2 sets both and migrates; at the end of postcopy the destination fails an assertion in "
        "`yank_unregister_instance` and the machine is lost. With `preempt` it hangs. 10.0 refuses "
        "the two (then the rule `multifd-postcopy` says so), 11.1 can do it.",
        "set `multifd_channels: 0` for postcopy and hybrid, or use a QEMU that allows both.",
        by_ends=Breaks(
            frozenset({"multifd", "postcopy-ram"}),
            _old,
            "accepts multifd with postcopy, and loses the machine",
        ),
    ),
    Rule(
        "multifd-xbzrle-ignored",
        "multifd and XBZRLE are asked for together of a QEMU older than 10.0, which accepts that and "
        "ignores XBZRLE.",
        "7.2 sets both and migrates, and its cache's counters stay at 0: no page was looked at. 10.0 "
        "and 11.1 refuse the two.",
        "set one of the two; variants under `algorithms` compare them.",
        by_ends=Breaks(
            frozenset({"multifd", "xbzrle"}), _old, "accepts XBZRLE with multifd, and ignores it"
        ),
    ),
    Rule(
        "rdma-postcopy-breaks",
        "RDMA and postcopy are asked for together of a QEMU older than 10.0, which accepts that and loses the "
        "machine, or comes to no end.",
        "On 7.2 a migration by postcopy sends page by page once it has switched, which took minutes for 32 MiB on emulated "
        "hosts, and mostly breaks as it ends: the source says that it has completed and hangs up, the destination fails an "
        "assertion in `process_incoming_migration_co` (`mis->from_src_file`) and aborts, and the machine runs nowhere. "
        "One trial was seen to complete instead. A hybrid ended so too, or had no end "
        "within 270 s while the machine ran at the destination; one that had sent everything before its switch "
        "completed. With `preempt` the destination fails at once. 10.0 can do it, 11.1 refuses the two (then "
        "the rule `qemu-refuses` says so).",
        "use precopy or stop-and-copy over RDMA, postcopy over tcp, or QEMU 10.0.",
        by_ends=Breaks(
            frozenset({RDMA, "postcopy-ram"}),
            _old,
            "accepts postcopy over RDMA, and may lose the machine",
        ),
    ),
    Rule(
        "rdma-multifd-breaks",
        "RDMA and multifd are asked for together of a QEMU older than 10.0, which accepts that and fails.",
        "Multifd opens connections of its own, and RDMA has one. 7.2 takes both in the set-up, and the migration "
        "fails as it begins (`multifd is not supported by current protocol`); 10.0 and 11.1 refuse the two.",
        "set `multifd_channels: 0` over RDMA.",
        by_ends=Breaks(frozenset({RDMA, "multifd"}), _old, "accepts multifd over RDMA, and fails"),
    ),
    Rule(
        "rdma-xbzrle-ignored",
        "RDMA and XBZRLE are asked for together of a QEMU older than 10.0, which accepts that and ignores XBZRLE.",
        "RDMA sends pages from where they are, so that there is no difference to send. 7.2 takes both and "
        "migrates, and its cache's counters stay at 0; 10.0 and 11.1 refuse the two.",
        "leave `xbzrle_cache` at `none` over RDMA.",
        by_ends=Breaks(
            frozenset({RDMA, "xbzrle"}), _old, "accepts XBZRLE over RDMA, and ignores it"
        ),
    ),
    Rule(
        "postcopy-loses-writes",
        "Postcopy or a hybrid is asked for of QEMU 11.1 or newer under TCG, which then loses writes of the "
        "guest.",
        "11.1.3 synchronises its dirty bitmap again as the migration begins, and some twenty times a "
        "second from then on, when postcopy is on. What the guest wrote within some 50 ms of that "
        "beginning can be lost, and the guest goes on with older pages: in most migrations that switched "
        "within the first pass, and in some that switched after a whole one, where such a page was not "
        "written again. None was lost in precopy without `postcopy-ram`, nor by 10.0.13. It was not "
        "tried under KVM, which was not at hand.",
        "use KVM, or an older QEMU.",
        by_ends=Breaks(
            frozenset({"postcopy-ram"}),
            _loses_writes,
            "loses writes under TCG where postcopy is on",
        ),
    ),
)
"""These rules, in the order in which they are tried."""
