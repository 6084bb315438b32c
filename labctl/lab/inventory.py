"""An inventory as a lab: whatever `ansible-inventory --list` prints.

LAB is a name under `inventory/` or a path. The group `hypervisors` holds the hosts; a single one that Ansible reaches by
`ansible_connection: local` is the embedded lab, where this machine is both ends.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from labctl.data import data_path, in_checkout
from labctl.errors import InputError, LabError
from labctl.lab import waits
from labctl.lab.pairing import PairSpec, check_variables, pairs_of

_ENVIRONMENT = {
    "ANSIBLE_LOCALHOST_WARNING": "0",
    "ANSIBLE_NOCOLOR": "1",
    # Else a source that cannot be read is a warning, and the lab merely lacks its hosts.
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
}
VIRTUAL_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
"""what a lab that `lab up` makes may be called"""


@dataclass(frozen=True)
class LabSpec:
    """A lab as its inventory describes it."""

    name: str
    path: Path
    hypervisors: tuple[str, ...]
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    observers: tuple[str, ...] = ()
    asked: str = ""
    """as it was asked for: a name or a path"""

    def of(self, host: str) -> dict[str, Any]:
        """A host's variables."""
        return self.variables.get(host, {})

    @property
    def hosts(self) -> tuple[str, ...]:
        """All that runs use."""
        return tuple(dict.fromkeys((*self.hypervisors, *self.observers)))

    @cached_property
    def pairs(self) -> tuple[PairSpec, ...]:
        """The pairs its hypervisors make. InputError when they make none."""
        return pairs_of(self.hypervisors, self.observers, self.variables, str(self.path))

    @property
    def anywhere(self) -> str:
        """What names it wherever one stands: a lab's name, or a whole path."""
        named = inventories().get(self.asked) == self.path
        return self.asked if named else str(self.path.absolute())

    @property
    def patience(self) -> float:
        """How many times longer than usual its hosts are waited for: as the slowest of them needs."""
        return max(float(self.of(host).get("labctl_patience", 1)) for host in self.hosts)

    @property
    def embedded(self) -> bool:
        """Whether this machine is both ends."""
        return len(self.hypervisors) == 1 and (
            self.variables.get(self.hypervisors[0], {}).get("ansible_connection") == "local"
        )


def made_inventories() -> Path:
    """The folder that `lab up` writes inventories into: the checkout's own, or the user's data where labctl is installed."""
    return data_path("inventory") if in_checkout() else user_data_path("labctl") / "inventory"


def inventories() -> dict[str, Path]:
    """Every lab that has a name: those that travel with labctl, and those that were made."""
    roots = dict.fromkeys((made_inventories(), data_path("inventory")))
    return {
        path.name: path
        for root in reversed(roots)
        if root.is_dir()
        for path in sorted(root.iterdir())
    }


def find_inventory(lab: str) -> Path:
    """The path of a lab's inventory. InputError, with the nearest names, when there is none."""
    as_path = Path(lab)
    if ("/" in lab or as_path.suffix) and as_path.exists():
        return as_path
    known = inventories()
    if lab in known:
        return known[lab]
    if as_path.exists():
        return as_path
    near = get_close_matches(lab, known, n=1)
    if near:
        mend = f"did you mean {near[0]}?"
    else:
        mend = f"use one of {', '.join(sorted(known))}, or a path"
        if VIRTUAL_NAME.fullmatch(lab):
            mend += f"; `labctl lab up {lab}` makes a lab of virtual machines of that name"
    raise InputError(f"there is no lab {lab!r}", mend=mend)


def read_lab(lab: str) -> LabSpec:
    """Read a lab's inventory. InputError when it is none, LabError when Ansible cannot be asked."""
    path = find_inventory(lab)
    command = [str(Path(sys.executable).with_name("ansible-inventory")), "-i", str(path), "--list"]
    try:
        # A home of its own: Ansible would leave its scratch folders in the caller's.
        with tempfile.TemporaryDirectory(prefix="labctl-inventory-") as home:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=waits.INVENTORY_S,
                check=False,
                env={**os.environ, **_ENVIRONMENT, "ANSIBLE_HOME": home},
            )
    except FileNotFoundError:
        raise LabError("ansible-inventory is not installed", mend="make setup") from None
    except subprocess.TimeoutExpired:
        raise LabError("ansible-inventory did not answer", place=str(path)) from None
    if done.returncode != 0:
        raise InputError(f"not an inventory: {done.stderr.strip()}", place=str(path))
    try:
        listing = json.loads(done.stdout)
    except ValueError:
        raise InputError("ansible-inventory printed no JSON", place=str(path)) from None
    return _spec(lab, path, listing)


def _spec(lab: str, path: Path, listing: dict[str, Any]) -> LabSpec:
    hypervisors = _hosts(listing, "hypervisors")
    if not hypervisors:
        raise InputError(
            "the inventory has no group `hypervisors` with a host in it",
            place=str(path),
            mend="list the KVM hosts in the group `hypervisors`",
        )
    name = lab if "/" not in lab else path.stem if path.is_file() else path.name
    variables = listing.get("_meta", {}).get("hostvars", {})
    spec = LabSpec(name, path, hypervisors, variables, _hosts(listing, "observers"), lab)
    for host in spec.hosts:
        check_variables(host, spec.of(host), str(path))
    return spec


def _hosts(listing: dict[str, Any], group: str) -> tuple[str, ...]:
    """A group's hosts, and those of the groups that it is made of."""
    said = listing.get(group, {})
    below = [host for child in said.get("children", ()) for host in _hosts(listing, child)]
    return tuple(dict.fromkeys([*said.get("hosts", ()), *below]))
