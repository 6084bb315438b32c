"""The dashboards as JSON, as they stand in dashboards/."""

from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from scripts.boards import campaign, comparison, hosts, migration

FOLDER: Final = Path(__file__).parents[2] / "dashboards"
BOARDS: Final = {
    "campaign": campaign,
    "migration": migration,
    "comparison": comparison,
    "hosts": hosts,
}


def texts() -> dict[Path, str]:
    """Each with its file."""
    encoder = JSONEncoder(sort_keys=True, indent=1)
    return {
        FOLDER / f"{name}.json": encoder.encode(board.made().build()) + "\n"
        for name, board in BOARDS.items()
    }
