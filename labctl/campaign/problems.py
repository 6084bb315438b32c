"""A fault in a campaign's data: what, where, and the mend. A reader of files adds the line."""

from dataclasses import dataclass

from labctl.errors import CampaignError

MAX_SAID = 600
"""characters of a fault or a mend: what a file quotes may be long"""

Path = tuple[str | int, ...]
"""Where in a file: keys and indices from the top."""


@dataclass(frozen=True)
class Problem:
    """A fault, where in the data it is, and how to mend it."""

    path: Path
    fault: str
    mend: str

    def at(self, place: str | None) -> CampaignError:
        """The error that says so."""
        return fault_at(place, self.fault, self.mend)


def fault_at(place: str | None, fault: str, mend: str) -> CampaignError:
    """An error that may quote a file: fit for one line of a terminal, whatever the file holds."""
    return CampaignError(_quotable(fault), place=place, mend=_quotable(mend))


def _quotable(text: str) -> str:
    short = text if len(text) <= MAX_SAID else f"{text[: MAX_SAID - 2]} …"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in short)


def path_text(path: Path) -> str:
    """A path as a person writes it: `matrix.write_rate[2]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "campaign"
