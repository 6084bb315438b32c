"""What each suite's QEMU can do with each transport, and whether a run has shown just that."""

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from scripts.acceptance.labs import Unmet

Cells = frozenset[tuple[str, str]]


def _with_postcopy(*transports: str) -> Cells:
    return frozenset(
        (transport, kind) for transport in transports for kind in ("postcopy", "hybrid")
    )


EXPECTED: Final[Mapping[str, Cells]] = {
    # QEMU 7.2 accepts it, says completed, and loses the machine.
    "bookworm": _with_postcopy("rdma"),
    "trixie": frozenset(),
    # QEMU 11.1 refuses it by itself; what has postcopy on loses writes under TCG.
    "trixie-backports": _with_postcopy("tcp", "rdma"),
}
"""by suite: what its QEMU cannot do, transport and algorithm"""
UNSURE: Final[Mapping[str, Cells]] = {
    # QEMU 10.0 does it most times. It was also seen to leave the machine on both hosts, and never to end.
    "trixie": _with_postcopy("rdma"),
}
"""what completes, or fails with a verdict and a reason; all else must complete"""


def judge(suite: str, frame: pd.DataFrame) -> None:
    """Each cell is as it must be. Unmet names those that are not."""
    wrong = []
    for row in rows(frame):
        what = (carried(row), row["algorithm"])
        cannot, unsure = what in EXPECTED[suite], what in UNSURE.get(suite, ())
        if unsure and row["outcome"] == "failed" and row["verdict"] and row["reason"]:
            continue
        if cannot and not (row["outcome"] == "unsupported" and row["rule"] and row["reason"]):
            wrong.append(f"{row['cell']}: {row['outcome']}, and this QEMU cannot do it")
        if not cannot and not (row["outcome"] == "completed" and row["memory_identical"]):
            wrong.append(f"{row['cell']}: {row['outcome']}: {row['reason']}")
    if wrong:
        raise Unmet(f"{suite}:\n  " + "\n  ".join(wrong))


def carried(row: Mapping[str, Any]) -> str:
    """`tcp` or `rdma`, without what kind of RDMA it is."""
    return str(row["transport"]).partition(" ")[0]


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A run's trials, each by the names of the columns."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
