"""Where a run is served, told to a Prometheus on this machine: a file in a folder that it watches (file_sd_configs)."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

FOLDER: Final = "LABCTL_PROMETHEUS_TARGETS"
"""environment: the folder"""
SHARED: Final = Path("/var/lib/labctl/prometheus-targets")
"""made by playbooks/monitoring.yml for a Prometheus that runs as a service"""


def targets_folder() -> Path:
    """The folder that is named, the service's where there is one, else one of the user's own."""
    if named := os.environ.get(FOLDER):
        return Path(named)
    if SHARED.is_dir() and os.access(SHARED, os.W_OK):
        return SHARED
    from platformdirs import user_state_path

    return user_state_path("labctl") / "prometheus-targets"


@contextmanager
def announced(url: str) -> Iterator[None]:
    """Tell of a page with metrics while the context is open. Where that cannot be written, it is not told."""
    folder = targets_folder()
    file = folder / f"{os.getpid()}.json"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        beside = file.with_suffix(".new")
        beside.write_text(json.dumps([{"targets": [urlsplit(url).netloc]}]))
        beside.chmod(0o644)
        beside.replace(file)
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what processes have left that were killed."""
    for left in folder.glob("*.json"):
        if left.stem.isdecimal() and not Path("/proc", left.stem).exists():
            with suppress(OSError):  # another user's
                left.unlink()
