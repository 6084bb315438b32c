"""The answer of a run: which algorithm for this machine on this link, at what cost, with what certainty; in sentences."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from labctl.analysis.cells import in_words
from labctl.analysis.properties import PROPERTIES, Card, Score
from labctl.analysis.ranking import Ranking, Rankings, turns
from labctl.report.numbers import joined, short

MOST_LOADS = 12
"""loads that are each told in a sentence; of more, where the ranking turns"""
_SERVICE, _RESOURCES = (prop for prop in PROPERTIES if prop.key in {"continuous_service", "resource_usage"})  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What a run says, in sentences."""

    lead: str
    """of the whole"""
    points: tuple[str, ...]
    """of each load, or where there are many, where the ranking turns"""


def answer(found: Rankings, cards: Sequence[Card]) -> Answer | None:
    """None where nothing completed."""
    if not any(ranking.leaders for ranking in found.found):
        return None
    told = (
        _by_turns(found)
        if len(found.loads) > MOST_LOADS
        else (_load(found, load, cards) for load in found.loads)
    )
    return Answer(" ".join(_overall(found)), tuple(told))


def _overall(found: Rankings) -> Iterator[str]:
    """Whether one algorithm is the answer to everything."""
    everywhere = set.intersection(*(set(ranking.leaders) for ranking in found.found))
    who = {place.who for ranking in found.found for place in ranking.places}
    if len(who) > 1:
        if everywhere:
            yield f"{joined(sorted(everywhere))} leads, or nothing is shown to be better, by every property under every load."
        else:
            yield "No algorithm is best by every property under every load."
    if not all(ranking.sure for ranking in found.found):
        yield "Repetitions are too few to be sure of every order: where they are, the middle values alone decide."


def _load(found: Rankings, load: tuple[str, ...], cards: Sequence[Card]) -> str:
    """One load: what does not complete, who disturbs the guest least, who sends least."""
    mine = {card.who: card for card in cards if tuple(level for _, level in card.load) == load}
    words = in_words(found.factors, load)
    parts = list(_incomplete(mine))
    service = found.at(_SERVICE, load)
    if service and service.leaders:
        parts.append(f"the guest is disturbed least by {_leading(service, mine)}")
        exposed = [f"{who} for {_told(score)}" for who in service.leaders if (score := _score(mine, who, "exposure_s")) and score.value > 0]  # fmt: skip
        if exposed:
            parts.append(f"which needs both hosts for a time ({joined(exposed)})")
    resources = found.at(_RESOURCES, load)
    if resources and resources.leaders:
        parts.append(f"the network is used least by {_leading(resources, mine)}")
    if not parts:
        parts = ["nothing completed"]
    return f"{'At ' + words if words else 'Here'}: {'; '.join(parts)}."


def _incomplete(cards: dict[str, Card]) -> Iterator[str]:
    for who, card in cards.items():
        score = card.score("completion")
        if score is not None and score.n and score.value < 100:
            done = round(score.value * score.n / 100)
            low, high = score.interval or (0.0, 100.0)
            yield f"{who} completed {done} of {score.n} (95 % interval {low:.0f} to {high:.0f} %)"


def _leading(ranking: Ranking, cards: dict[str, Card]) -> str:
    """The leaders, each with its number; and who comes next."""
    leaders = [_numbered(who, ranking, cards) for who in ranking.leaders]
    others = [
        place.who for place in ranking.places if not place.leads and not math.isnan(place.value)
    ]
    after = f", before {_numbered(others[0], ranking, cards)}" if others else ""
    return f"{joined(leaders, 'or')}{after}"


def _numbered(who: str, ranking: Ranking, cards: dict[str, Card]) -> str:
    score = _score(cards, who, ranking.prop.ranked_by)
    return f"{who} ({_told(score)})" if score else who


def _score(cards: dict[str, Card], who: str, name: str) -> Score | None:
    return cards[who].score(name) if who in cards else None


def _told(score: Score) -> str:
    unit = f" {score.unit}" if score.unit else ""
    if score.interval is None:
        return f"{short(score.value)}{unit}, n {score.n}"
    return f"{short(score.value)}{unit} [{short(score.interval.low)}, {short(score.interval.high)}]"


def _by_turns(found: Rankings) -> Iterator[str]:
    """Who does not always complete, and where the ranking turns."""
    some = Counter(
        place.who
        for ranking in found.of(_SERVICE)
        for place in ranking.places
        if place.completed < place.tried
    )
    for who, loads in some.items():
        yield f"{who} did not always complete under {loads} of {len(found.loads)} loads."
    for turn in turns(found):
        if turn.prop in {_SERVICE, _RESOURCES}:
            parts = [
                f"{joined(who, 'or') or 'none'}{' at ' + where if where else ''}"
                for who, where in turn.parts
            ]
            yield f"{turn.prop.title}: best {'; '.join(parts)}."
