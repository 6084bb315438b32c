"""The trials of one algorithm, transport and load until now, and the scores that the report would give them."""

from collections.abc import Mapping
from typing import Any

from labctl.events import TrialEnded
from labctl.monitoring.metrics import CELL_SCORES


class CellTrials:
    """Trials that have a result, warm-ups and twins left out."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._scores: dict[str, float] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, ended: TrialEnded, *, algorithm: str, transport: str) -> None:
        """Take a trial that has ended."""
        identity = {
            "trial": ended.number,
            "cell": "this",
            "algorithm": algorithm,
            "transport": transport,
        }
        how = {"outcome": ended.outcome, "verdict": ended.verdict, "warmup": False}
        self._rows.append({**ended.figures, **identity, **how})
        self._scores = None

    def score(self) -> Mapping[str, float]:
        """By their names in CELL_SCORES and in the metrics' units, NaN where there is none. Worked out once after the last
        trial that was added: some 20 ms.
        """
        if self._scores is None:
            self._scores = _scores(self._rows)
        return self._scores


def _scores(rows: list[dict[str, Any]]) -> dict[str, float]:
    from labctl.analysis.metrics import with_derived
    from labctl.analysis.properties import scorecard
    from labctl.results.building import assembled

    orders = {name: [rows[0][name]] for name in ("cell", "algorithm", "transport")}
    (card,) = scorecard(with_derived(assembled(rows, orders, {})), [])
    found = {score.name: score.value for scores in card.scores.values() for score in scores}
    return {cell.name: found[cell.score] * cell.scale for cell in CELL_SCORES}
