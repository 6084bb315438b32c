"""Golden schedules: a case is a file with what is asked, as a campaign file says it, and the whole schedule that comes of it.

A new case is a new file in `tests/golden/cases` with its fragment of a campaign alone; `python -m tests.golden` writes the
schedules of all, for a person to read in the diff before they are committed. A test compares and never writes.
"""

import json
from pathlib import Path
from typing import Any

from labctl.campaign import Cell, expand, parse_campaign
from labctl.migration import Schedule, compile_schedule
from labctl.migration.transports import uri

FOLDER = Path(__file__).with_name("cases")
REST = """
name: golden
guest: {memory: 64MiB, working_set: 16MiB}
link: {bandwidth: 1Gbit/s}
"""
"""what no case is about"""
_BETWEEN = "---\n"


def cases() -> list[Path]:
    """The files of all cases."""
    return sorted(FOLDER.glob("*.yaml"))


def parts(path: Path) -> tuple[str, Any]:
    """A case's fragment, and its schedule; None before it was first written."""
    fragment, _, schedule = path.read_text().partition(_BETWEEN)
    return fragment, json.loads(schedule) if schedule else None


def cell(fragment: str) -> Cell:
    """The one cell of a fragment."""
    (only,) = expand(parse_campaign(fragment + REST))
    return only


def compiled(fragment: str) -> dict[str, Any]:
    """What comes of a fragment."""
    asked = cell(fragment)
    return as_data(compile_schedule(asked), asked.transport)


def as_data(schedule: Schedule, transport: str = "tcp") -> dict[str, Any]:
    """A schedule as a file holds it: the set-up of both ends, and what each end's node is sent."""
    filled = schedule.with_uri(uri(transport, "192.0.2.2", 4444))
    data = {
        "capabilities": schedule.capabilities,
        "parameters": schedule.parameters,
        "source": filled.for_source(),
        "destination": filled.for_destination(),
    }
    whole: dict[str, Any] = json.loads(json.dumps(data))
    return whole


def write(path: Path) -> bool:
    """Write a case's schedule anew; whether it has changed."""
    before = path.read_text()
    fragment, _ = parts(path)
    text = fragment + _BETWEEN + json.dumps(compiled(fragment), indent=2) + "\n"
    path.write_text(text)
    return text != before
