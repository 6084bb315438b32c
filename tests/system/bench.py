"""What the system tests share: campaigns in a few words, and trials on a lab that is open."""

import threading
from typing import Any

from labctl.campaign import Campaign, expand, parse_campaign
from labctl.lab import Pair
from labctl.migration import RawTrial, TrialRun
from labctl.results import raw as tables

MIB = 1 << 20
PAGE_BYTES = 4096

BUSY_TRIES = 6
"""A busy machine withholds the CPU that a load needs. That the load then is invalid is right, and no
news about what is tested: such a trial is run again."""


def campaign(**sections: Any) -> Campaign:
    """A campaign of small, short trials; a section that is given is merged into its default."""
    whole: dict[str, Any] = {
        "name": "system-test",
        "guest": {"memory": "64MiB", "working_set": "16MiB"},
        "link": {"bandwidth": "1Gbit/s"},
        "limits": {"total_time": "10s", "downtime": "300ms"},
        "timing": {"baseline": "300ms", "settle": "200ms"},
        "repetitions": 1,
        "warmups": 0,
    }
    for key, value in sections.items():
        merge = isinstance(value, dict) and isinstance(whole.get(key), dict)
        whole[key] = {**whole[key], **value} if merge else value
    return parse_campaign(_yaml(whole), "campaign.yaml")


def _yaml(value: Any) -> str:
    """A mapping as YAML in flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def run_trial(
    pair: Pair,
    asked: Campaign,
    *,
    direction: str = "forward",
    kind: type[TrialRun] = TrialRun,
    tries: int = BUSY_TRIES,
) -> RawTrial:
    """One trial of a campaign with one cell."""
    (cell,) = expand(asked)
    for _ in range(tries):
        trial = kind(cell, asked.timing, pair, direction, stop=threading.Event())
        raw = trial.run()
        if raw.outcome != "invalid_load":
            break
    return raw


def beats_of(raw: RawTrial) -> Any:
    """The beats of a trial as a table."""
    return tables.beats_frame(raw.beats, raw.vcpus)
