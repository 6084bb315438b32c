"""`python -m tests.hosts.rack [FOLDER]`: the process that has a session's hosts, networks and number, until its stdin ends.

A process of its own, so that it outlives whoever wanted the hosts by the moment that it takes to remove everything, however
that one ended. Killed itself, it takes the hosts with it, and the next one that begins removes bridges, rules and folders.
Requests and answers are lines of JSON: `{"do": "boot", "names": ["h1"]}`, `{"pids": [4711]}` or `{"error": "..."}`.
"""

import json
import shutil
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.hosts import cgroups, folders, network
from tests.hosts.boot import Boot
from tests.hosts.commands import HostsError, run
from tests.hosts.disk import Disk, remove_disks


class Rack:
    """Hosts by name, each in its place.

    :ivar folder: the one that was given, of which the disks go at the end, or one of its own, which goes.
    """

    def __init__(self, folder: Path | None) -> None:
        clear_leftovers()
        self._claim = network.claim_network()
        self.number = self._claim.number
        self._own_folder = folder is None
        self.folder = folder or folders.make(self.number)
        self._places: dict[str, int] = {}
        self._disks: dict[str, Disk] = {}
        self._on: dict[str, Boot] = {}
        try:
            network.make(self.number)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the hosts, take everything back."""
        with ExitStack() as last_first:
            last_first.callback(self._claim.close)
            if self._own_folder:
                last_first.callback(shutil.rmtree, self.folder)
            else:
                last_first.callback(remove_disks, self.folder)
            last_first.callback(network.remove, self.number)
            for name in self._on:
                last_first.callback(self._switch_off, name)

    def place(self, disks: dict[str, tuple[str, bool]]) -> None:
        """Put hosts into it: of each the pristine tree, and whether its disk is a layer over that."""
        for index, (name, (pristine, layered)) in enumerate(disks.items()):
            self._places[name] = index
            self._disks[name] = Disk(self.folder / name, Path(pristine), layered)

    def boot(self, names: list[str]) -> list[int]:
        """Switch hosts on, side by side; the pids of their systemds, when all have started everything."""
        for name in names:
            self._must_be_off(name)
        try:
            for name in names:
                self._on[name] = Boot(self.number, self._places[name], name, self._disks[name])
            for name in names:
                self._plug_in(name)
            for name in names:
                self._on[name].wait_until_booted()
        except BaseException:
            self.kill([name for name in names if name in self._on])
            raise
        return [self._on[name].leader for name in names]

    def kill(self, names: list[str]) -> None:
        """Take hosts' power away: their cables fall silent first, so that no peer is told."""
        for name in names:
            self._switch_off(name)
            del self._on[name]

    def link(self, names: list[str], *, migration: bool, up: bool) -> None:
        """Pull hosts' cables out here, or put them back."""
        for name in names:
            place = self._places[name]
            cable = self.number.migration_cable(place) if migration else self.number.cable(place)
            run("ip", "link", "set", cable, "up" if up else "down")

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do as a request says."""
        match request.pop("do"):
            case "place":
                self.place(**request)
            case "boot":
                return {"pids": self.boot(**request)}
            case "kill":
                self.kill(**request)
            case "link":
                self.link(**request)
            case unknown:
                raise ValueError(f"no such request: {unknown}")
        return {}

    def _must_be_off(self, name: str) -> None:
        if name in self._on:
            if self._on[name].alive:
                raise HostsError(f"{name}: is on already")
            self.kill([name])  # it switched itself off

    def _plug_in(self, name: str) -> None:
        boot = self._on[name]
        boot.wait_for_leader()
        try:
            network.plug(self.number, self._places[name])
        except HostsError as error:
            raise (error if boot.alive else boot.ended()) from None

    def _switch_off(self, name: str) -> None:
        network.unplug(self.number, self._places[name])
        self._on[name].kill()


def clear_leftovers() -> None:
    """What racks left that were killed; their hosts have died with them."""
    for number in network.leftovers():
        network.remove(number)
    for group in cgroups.leftovers():
        cgroups.remove(group)
    for folder in folders.leftovers():
        shutil.rmtree(folder)


def _end(*_: object) -> None:
    raise SystemExit(1)


def main() -> None:
    """The process."""
    # Ctrl-C is for who wanted the hosts; that one's end is ours.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    rack = Rack(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    try:
        print(json.dumps({"number": rack.number.value, "folder": str(rack.folder)}), flush=True)
        for line in sys.stdin:
            try:
                answer = rack.answer(json.loads(line))
            except (HostsError, OSError, ValueError) as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), flush=True)
    except BrokenPipeError:
        pass  # nobody waits for an answer any more
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        rack.close()


if __name__ == "__main__":
    main()
