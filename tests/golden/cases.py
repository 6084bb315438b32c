"""Golden schedules: a case is a file with what is asked and the whole schedule that comes of it.

A new case is a new file with its `case` alone; `python -m tests.golden` writes the schedules of all, for a person to read
in the diff before they are committed. A test compares and never writes.
"""

import json
from pathlib import Path
from typing import Any

from labctl.campaign import Campaign, expand
from labctl.migration import Schedule, compile_schedule

FOLDER = Path(__file__).with_name("schedules")


def cases() -> list[Path]:
    """The files of all cases."""
    return sorted(FOLDER.glob("*.json"))


def compiled(case: dict[str, Any]) -> dict[str, Any]:
    """What comes of a case: `algorithm` (kind and options of a variant) and `limits`."""
    asked = Campaign.model_validate(
        {
            "name": "golden",
            "guest": {"memory": "64MiB", "working_set": "16MiB"},
            "link": {"bandwidth": "1Gbit/s"},
            "algorithms": {"asked": case["algorithm"]},
            "algorithm": "asked",
            "limits": case.get("limits", {}),
        }
    )
    (cell,) = expand(asked)
    return as_data(compile_schedule(cell))


def as_data(schedule: Schedule) -> dict[str, Any]:
    """A schedule as a file holds it: the set-up of both ends, and what each end's node is sent."""
    filled = schedule.with_uri("tcp:192.0.2.2:4444")
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
    case = json.loads(before)["case"]
    text = json.dumps({"case": case, "schedule": compiled(case)}, indent=2) + "\n"
    path.write_text(text)
    return text != before
