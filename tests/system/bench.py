"""What the system tests share: campaigns in a few words, and trials on a lab that is open."""

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from labctl.campaign import Campaign, expand, parse_campaign
from labctl.lab import End, Node, Pair
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


Before = Callable[[End, str, dict[str, Any]], None]
"""Told of each request before an end's node has it: the end, what is asked, with what. It may alter the latter."""


class Interposed:
    """A node of which a test sees each request first."""

    def __init__(self, end: End, before: Before) -> None:
        self.__dict__.update(_end=end, _before=before)

    def begin(self, do: str, **parameters: Any) -> Any:
        self._before(self._end, do, parameters)
        return self._end.node.begin(do, **parameters)

    def call(self, do: str, **parameters: Any) -> Any:
        self._before(self._end, do, parameters)
        return self._end.node.call(do, **parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._end.node, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._end.node, name, value)


def interposed(pair: Pair, before: Before) -> Pair:
    """The same pair, with somebody who looks at what its two ends are asked."""
    a, b = (replace(end, node=cast("Node", Interposed(end, before))) for end in (pair.a, pair.b))
    return replace(pair, a=a, b=b)


def flip(end: End, pid: int, address: int) -> None:
    """Alter the byte at a physical address of a guest, behind its back."""
    command = {"command-line": f"gpa2hva {address:#x}"}
    said = end.node.call(
        "machine.qmp", execute="human-monitor-command", arguments=command, timeout_s=5
    )
    found = re.search(r"is (0x[0-9a-f]+)", said)
    assert found, said
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(int(found[1], 16))
        (byte,) = memory.read(1)
        memory.seek(int(found[1], 16))
        memory.write(bytes([byte ^ 0x10]))


def beats_of(raw: RawTrial) -> Any:
    """The beats of a trial as a table."""
    return tables.beats_frame(raw.beats, raw.vcpus)
