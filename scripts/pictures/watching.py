"""What `labctl watch` shows, as a picture."""

import re
from io import StringIO
from pathlib import Path
from typing import Final

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from labctl.cli.watch import page
from labctl.monitoring.following import Follower

WIDTH: Final = 104


def draw(follower: Follower, path: Path) -> None:
    """Draw how a run stands into an SVG file, which fetches no font from anywhere."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(page(follower))
    own = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console.save_svg(str(path), title="labctl watch", code_format=own, unique_id="watch")
