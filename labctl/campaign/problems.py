"""A fault in a campaign's data: what, where, and the mend. A reader of files adds the line."""

from dataclasses import dataclass

from labctl.errors import CampaignError

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
        return CampaignError(self.fault, place=place, mend=self.mend)


def path_text(path: Path) -> str:
    """A path as a person writes it: `matrix.write_rate[2]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "campaign"
