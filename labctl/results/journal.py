"""journal.jsonl: what the controller did and when, one JSON object a line. A last line may be torn."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def journal_line(event: str, data: Mapping[str, Any]) -> bytes:
    """The line of an event that happens now."""
    utc = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"utc": utc, "event": event, **data}, default=str).encode() + b"\n"


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Every whole line of a journal; an empty list where there is none."""
    entries = []
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries
