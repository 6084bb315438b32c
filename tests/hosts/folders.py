"""Folders of sessions that were given none: each carries its session's number, and goes with the session."""

import re
import tempfile
from pathlib import Path

from tests.hosts.numbers import Number, claimed

_OURS = re.compile(r"labctl-hosts-(\d+)-\w+")


def make(number: Number) -> Path:
    """Make one."""
    return Path(tempfile.mkdtemp(prefix=number.machine("")))


def leftovers() -> list[Path]:
    """Those of sessions that have died."""
    live = claimed()
    found = []
    for path in Path(tempfile.gettempdir()).glob("labctl-hosts-*"):
        named = _OURS.fullmatch(path.name)
        if (
            named
            and int(named[1]) not in live
            and path.stat().st_uid == 0
            and not path.is_symlink()
        ):
            found.append(path)
    return found
