"""Blocks: in which order each runs its cells, and in which direction.

Both come from SHA-256 of the seed and the names, not from a generator whose algorithm may change, and not from what else the
block holds: a block of some cells has them in the order and the directions that a block of all cells would give them.
"""

import hashlib
from collections.abc import Iterable

from labctl.campaign.planned import Direction


def block_of(
    seed: int, block: int, pairs: int, cells: Iterable[str]
) -> list[tuple[str, Direction]]:
    """The block of that number with these cells, for a lab of so many pairs: each cell once, in order."""
    turn = _turn(block, max(1, pairs))
    return [
        (cell, direction(turn + _draw(seed, "direction", cell)))
        for cell in sorted(cells, key=lambda cell: _draw(seed, str(block), cell))
    ]


def direction(turn: int) -> Direction:
    """There and back by turns."""
    return "reverse" if turn % 2 else "forward"


def _turn(block: int, pairs: int) -> int:
    """Odd and even by turns, from block to block and, where pairs take a block each in every round, on each pair too:
    else one of two pairs would meet a cell in one direction only.
    """
    rounds, place = divmod(block - 1, pairs)
    return 1 + rounds + place


def _draw(seed: int, *words: str) -> int:
    """A number that only the seed and the words decide, uniform over 64 bits."""
    text = "\0".join((str(seed), *words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
