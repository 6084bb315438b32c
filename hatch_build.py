"""Build hook: compiles the guest, and packs the top-level data folders into the wheel.

Runs for wheels and for editable installs: a labctl without its guest cannot run a trial, so a missing
compiler ends the build with what to do about it.
"""

import importlib.util
from pathlib import Path
from typing import Any, Protocol, cast

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GUEST_BUILD = "labctl/guest/build"
# Of inventories those that everybody has: what `lab up` and `vagrant up` write beside them is this machine's.
DATA = ("campaigns", "inventory/example", "inventory/local", "playbooks", "dashboards")


class GuestBuilder(Protocol):
    """The part of `labctl/guest/build.py` that is used here."""

    def build_guest(self, out_dir: Path) -> Path:
        """Compile the guest into `out_dir`; the path of the image."""


def load_guest_builder(root: Path) -> GuestBuilder:
    """Load the guest's build by its path: labctl itself cannot be imported while it is built."""
    path = root / "labctl" / "guest" / "build.py"
    spec = importlib.util.spec_from_file_location("labctl_guest_build", path)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{path}: cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("GuestBuilder", module)


class GuestHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compile the guest, then say what else belongs in the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files; `version` is "standard" or "editable"."""
        root = Path(self.root)
        try:
            image = load_guest_builder(root).build_guest(root / GUEST_BUILD)
        except RuntimeError as error:  # says what is missing, and what to do about it
            self.app.abort(str(error))
        if version == "editable":
            return  # a checkout's own folders are used in place
        force_include = build_data["force_include"]
        force_include[str(image)] = f"{GUEST_BUILD}/{image.name}"
        for folder in DATA:
            if (root / folder).is_dir():
                force_include[str(root / folder)] = f"labctl/_data/{folder}"
