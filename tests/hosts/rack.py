"""`python -m tests.hosts.rack`: the process that has a session's hosts, networks and number, until its stdin ends.

A process of its own, so that it outlives whoever wanted the hosts by the moment that it takes to remove everything, however
that one ended. Killed itself, it takes the hosts with it, and the next one that begins removes bridges and rules.
Requests and answers are lines of JSON: `{"do": "boot", "names": ["h1"]}`, `{"pids": [4711]}` or `{"error": "..."}`.
"""

import json
import signal
import sys
from pathlib import Path
from typing import Any

from tests.hosts import cgroups, network
from tests.hosts.boot import Boot
from tests.hosts.commands import HostsError, run
from tests.hosts.disk import Disk


class Rack:
    """Hosts by name, each in its place."""

    def __init__(self) -> None:
        for number in network.leftovers():
            network.remove(number)
        for group in cgroups.leftovers():
            cgroups.remove(group)
        self._claim = network.claim_network()
        self.number = self._claim.number
        self._places: dict[str, int] = {}
        self._disks: dict[str, Disk] = {}
        self._on: dict[str, Boot] = {}
        self._kernel = False
        try:
            network.make(self.number)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the hosts, take everything back."""
        try:
            self.kill(list(self._on))
        finally:
            network.remove(self.number)
            self._claim.close()

    def place(self, disks: dict[str, tuple[str, str, bool]], *, kernel: bool) -> None:
        """Put hosts into it: of each its disk."""
        self._kernel = kernel
        for index, (name, (folder, pristine, layered)) in enumerate(disks.items()):
            self._places[name] = index
            self._disks[name] = Disk(Path(folder), Path(pristine), layered)

    def boot(self, names: list[str]) -> list[int]:
        """Switch hosts on, side by side; the pids of their systemds, when all have started everything."""
        for name in names:
            if name in self._on:
                raise HostsError(f"{name}: is on already")
            self._on[name] = Boot(
                self.number, self._places[name], name, self._disks[name], kernel=self._kernel
            )
        for name in names:
            self._on[name].wait_for_leader()
            network.plug(self.number, self._places[name])
        for name in names:
            self._on[name].wait_until_booted()
        return [self._on[name].leader for name in names]

    def kill(self, names: list[str]) -> None:
        """Take hosts' power away: their cables fall silent first, so that no peer is told."""
        for name in names:
            network.unplug(self.number, self._places[name])
            self._on.pop(name).kill()

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


def _end(*_: object) -> None:
    raise SystemExit(1)


def main() -> None:
    """The process."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # it is for who wanted the hosts, and that one tells us
    signal.signal(signal.SIGTERM, _end)
    rack = Rack()
    try:
        print(json.dumps({"number": rack.number.value}), flush=True)
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
