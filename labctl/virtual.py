"""Virtual labs: hosts as virtual machines on this machine, made and unmade by playbooks.

bring_up("virtual", Wanted(suite="trixie"))   # playbooks/virtual_lab.yml, then site.yml; inventory/virtual is there
take_down("virtual")                          # nothing of it is left but the image, in the cache
clear("virtual")                              # only what an `up` that died has left

Who brings a lab up or down holds its lock; so what is half made while nobody holds it, is nobody's.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from platformdirs import user_cache_path, user_state_path

from labctl.data import data_path
from labctl.errors import InputError, LabHeld
from labctl.lab.inventory import VIRTUAL_NAME, inventories, made_inventories
from labctl.node import host, procfs
from labctl.playbook import TaskEvent, clear_dead_runs
from labctl.provision import play, provision

TIMEOUT_S: Final = 1800.0
UP, DOWN = "virtual_lab.yml", "virtual_lab_down.yml"
OnTask = Callable[[TaskEvent], None] | None


@dataclass(frozen=True)
class Wanted:
    """What a virtual lab shall be."""

    suite: str = "bookworm"
    hosts: int = 2
    memory_mib: int = 1024
    cpus: int = 1
    accelerator: str = "auto"
    packages: tuple[str, ...] = ()

    def variables(self) -> dict[str, Any]:
        """As the playbook's roles call it."""
        return {
            "virtual_image_suite": self.suite,
            "virtual_image_more_packages": list(self.packages),
            "virtual_hosts_count": self.hosts,
            "virtual_hosts_memory_mib": self.memory_mib,
            "virtual_hosts_cpus": self.cpus,
            "virtual_hosts_accelerator": self.accelerator,
        }


def bring_up(
    name: str, wanted: Wanted, *, on_task: OnTask = None, become_password: str | None = None
) -> bool:
    """Make a virtual lab and provision it; whether there was anything to do.

    InputError for a name that another lab has, LabHeld when somebody is about it, ProvisionError, WaitTimeout.
    """
    place = _Place(name)
    if not VIRTUAL_NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be a lab's name",
            mend="write small letters, digits and -, a letter first",
        )
    if name in inventories() and not place.folder.exists():
        raise InputError(
            f"there is a lab {name} already, and `lab up` has not made it",
            mend="give another name",
        )
    with place.held():
        if place.is_ready(wanted):
            return False
        place.ready.unlink(missing_ok=True)
        place.play(UP, wanted.variables(), on_task, become_password)
        provision(name, on_task=on_task)
        place.ready.write_text(json.dumps(asdict(wanted)))
    return True


def take_down(name: str, *, on_task: OnTask = None, become_password: str | None = None) -> bool:
    """End a virtual lab's hosts and remove all of it but the cached image; whether there was any of it."""
    place = _Place(name)
    if not place.exists():
        if name in inventories():
            raise InputError(
                f"`lab up` has not made the lab {name}",
                mend=f"to take back what provisioning did: labctl lab unprovision {name}",
            )
        return False
    with place.held():
        place.play(DOWN, {}, on_task, become_password)
    place.lock.unlink(missing_ok=True)
    return True


def clear(name: str, *, password: Callable[[], str | None] = lambda: None) -> list[str]:
    """Remove what was left on this machine by dead runs of playbooks, and by an `up` of this lab that died: what that was.

    `password`: asked for sudo's when there is something that only root can remove.
    """
    removed = [str(path) for path in clear_dead_runs()]
    place = _Place(name)
    half_made = bool(VIRTUAL_NAME.fullmatch(name)) and place.is_half_made()
    images = list(_images().glob("*.new"))
    if not half_made and not images:
        return removed
    with place.held():
        place.play(DOWN, {}, None, password(), lab=half_made)
    removed += [str(path) for path in images if not path.exists()]
    return [*removed, f"the lab {name}, half made"] if half_made else removed


def _images() -> Path:
    return user_cache_path("labctl") / "images"


class _Place:
    """Where a virtual lab is on this machine."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = user_state_path("labctl") / "labs" / name
        self.inventory = made_inventories() / name
        self.live = host.STATE_ROOT / f"lab-{name}"
        self.ready = self.folder / "ready.json"
        self.lock = self.folder.with_suffix(".lock")

    def exists(self) -> bool:
        """Whether there is anything of it."""
        return self.folder.exists() or self.live.exists()

    def is_half_made(self) -> bool:
        """Whether there is something of it that is no lab: not provisioned to the end, or its hosts have ended."""
        return self.exists() and not (self.ready.exists() and self.runs())

    def runs(self) -> bool:
        """Whether all its hosts run."""
        try:
            state = json.loads((self.live / "keeper.json").read_text())
        except (OSError, ValueError):
            return False
        keeper = state["pids"][0]
        alive = procfs.start_time(keeper["pid"]) == keeper["start_time"] != 0
        return alive and not state["ended"]

    def is_ready(self, wanted: Wanted) -> bool:
        """Whether it runs, provisioned, as it is wanted."""
        try:
            made = json.loads(self.ready.read_text())
        except (OSError, ValueError):
            return False
        return bool(made == json.loads(json.dumps(asdict(wanted)))) and self.runs()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else brings it up or down meanwhile. LabHeld."""
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        with self.lock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabHeld(
                    "somebody brings it up or down just now",
                    place=self.name,
                    mend="wait until that has ended",
                ) from None
            yield

    def play(
        self,
        playbook: str,
        variables: dict[str, Any],
        on_task: OnTask,
        become_password: str | None,
        *,
        lab: bool = True,
    ) -> None:
        """One of the two playbooks, on this machine."""
        told = {
            **variables,
            **({"virtual_hosts_lab": self.name} if lab else {}),
            "virtual_hosts_state": str(self.live),
            "virtual_hosts_folder": str(self.folder),
            "virtual_hosts_inventory": str(self.inventory),
            "virtual_image_cache": str(_images()),
            "virtual_image_owner": f"{os.getpid()}:{procfs.start_time(os.getpid())}",
        }
        with tempfile.NamedTemporaryFile("w", prefix="labctl-", suffix=".json") as file:
            json.dump(told, file)
            file.flush()
            inventory = data_path("inventory") / "local"
            options = ["-e", f"@{file.name}"]
            play(playbook, inventory, options, on_task, TIMEOUT_S, become_password)
