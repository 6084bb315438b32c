"""A regression gate: a condition such as `blackout worsens by > 10%`, held against a comparison.

It holds in a cell where the figure is worse by more than that, and the difference is shown: the interval leaves out "none", and
the ratio lies beyond the noise floor. It holds, too, where a cell's migrations no longer complete: what has no figure any
more did not become better.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from labctl.analysis.compare import Comparison
from labctl.analysis.metrics import Metric, metric_named
from labctl.errors import InputError

COMPLETION: Final = "completion"
_CONDITION = re.compile(
    r"(?P<what>[a-z_]+) worsens(?: by (?:>|more than) ?(?P<by>\d+(?:\.\d+)?) ?%)?", re.ASCII
)


@dataclass(frozen=True)
class Condition:
    """What must not be. `metric` is None for `completion`, whose threshold is in points of a hundred."""

    text: str
    metric: Metric | None
    threshold: float

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Raises InputError."""
        found = _CONDITION.fullmatch(" ".join(text.split()))
        if found is None:
            raise InputError(
                f"{text!r} is not a condition",
                place="--fail-if",
                mend="write `METRIC worsens by > N%`, as in: --fail-if 'blackout worsens by > 10%'",
            )
        what = found["what"]
        metric = None if what == COMPLETION else metric_named(what)
        return cls(text, metric, float(found["by"] or 0) / 100)


def failures(condition: Condition, found: Comparison) -> list[str]:
    """Where it holds, a sentence each.

    Raises:
        InputError: it could be judged nowhere; a gate that judges nothing must not pass.
    """
    lines, judged = [], 0
    for completion in found.completions:
        is_it = condition.metric is None
        judged += is_it
        threshold = condition.threshold if is_it else 0.0
        gone = is_it or not completion.b[0]
        if gone and completion.verdict == "worse" and -completion.change > threshold:
            (had, of), (has, out_of) = completion.a, completion.b
            lines.append(f"{completion.where}: {had} of {of} completed, and now {has} of {out_of}")
            judged += 1
    for effect in found.effects:
        if condition.metric is None or effect.metric != condition.metric:
            continue
        judged += effect.verdict != "too few"
        if effect.verdict == "worse" and effect.worsening > condition.threshold:
            lines.append(f"{effect.where}: {effect.metric.title.lower()} {_by(effect.worsening)}")
    if not judged:
        raise InputError(
            f"{condition.text!r} can be judged nowhere: no cell has six completed trials on both sides",
            place="--fail-if",
            mend="run more repetitions of both",
        )
    return lines


def _by(worsening: float) -> str:
    return f"worse by {worsening:.1%}".replace("inf%", "more than can be told: it was 0")


def all_failures(conditions: list[Condition], found: Comparison) -> Iterator[tuple[str, str]]:
    """Each condition's text with each sentence."""
    for condition in conditions:
        yield from ((condition.text, line) for line in failures(condition, found))
