"""What a histogram counts."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate


class Tally:
    """Values by bucket: at most so much."""

    def __init__(self, buckets: Sequence[float]) -> None:
        self._buckets = tuple(buckets)
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._buckets, value)] += 1
        self._sum += value

    def series(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """The ending of each series' name, its own labels, its value: as Prometheus' classic histograms have them."""
        bounds = [
            *(f"{bound:g}" if bound < 1e6 else f"{bound:.1f}" for bound in self._buckets),
            "+Inf",
        ]
        for bound, count in zip(bounds, accumulate(self._counts), strict=True):
            yield "_bucket", {"le": bound}, count
        yield "_sum", {}, self._sum
        yield "_count", {}, sum(self._counts)
