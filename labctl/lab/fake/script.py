"""What a fake node does instead of a migration, attempt by attempt."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from labctl.lab.fake.world import World


@dataclass(frozen=True)
class Script:
    """How one attempt at a trial goes; without arguments it completes.

    A request is named by its service, and may be narrowed down by who is asked (a side, `observer`, or a node's role)
    and, for QMP, by the command: `machine.start`, `destination:machine.start`, `machine.qmp/migrate-incoming`.
    """

    status: str = "completed"
    """with which the schedule ends: one of QEMU's, `qemu-died` or `hard-limit`"""
    beats_on: Iterable[str] | None = None
    """the sides that beat after the migration, where it is not what the status says"""
    fired: Iterable[str] | None = None
    """rules that fired on the source: by default `limit` when it is cancelled, `switch` when there is such a rule"""
    fail: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """request -> (code, message) of its failure"""
    lose: str | None = None
    """the request in which the node is lost: its channel ends without an answer"""
    ignore: str | None = None
    """the request that is never answered"""
    dies: str | None = None
    """the side whose QEMU ends by itself as soon as it was started"""
    vanishes: tuple[str, str] | None = None
    """a side or a node's role, and the request (its own or another's) after which that node is lost; the request is dealt with
    as ever
    """
    load: float = 1.0
    """what is reached of the write rate asked"""
    link: float = 1.0
    """what is reached of the bandwidth asked, where this attempt measures it"""
    delay: float = 1.0
    """the same of the delay"""
    not_in_force: Iterable[str] = ()
    """capabilities that QEMU takes and does not keep"""
    rdma_silent: bool = False
    """whether the RDMA port counts nothing, though RDMA was asked for"""
    checks: bool = True
    """whether the memory check ever reports"""
    pages_bad: int = 0
    work_regressed: bool = False
    total_time_ms: int = 30
    """of which QEMU speaks in the end"""
    beats: bytes | None = None
    """what is taken from the observer instead of the guest's beats"""


@dataclass(frozen=True)
class Asked:
    """A request that a fake node was sent."""

    pair: str
    role: str
    do: str
    parameters: dict[str, Any]


class Channel(Protocol):
    """What a fake node may do to another one of its pair."""

    def tell(self, name: str, **data: Any) -> None:
        """Tell an event."""

    def drain(self) -> None:
        """Wait until all that was told has been heard."""

    def close(self, timeout_s: float) -> None:
        """End it: the node is lost."""


class FakePair:
    """What the three nodes of one pair share: the attempt at hand and its machine."""

    def __init__(self, name: str, next_script: Callable[[], Script], asked: list[Asked]) -> None:
        self.name = name
        self.asked = asked
        self.sides: dict[str, str] = {}
        """role -> side"""
        self.world = World()
        self.script = Script()
        self.channels: dict[str, Channel] = {}
        self._next_script = next_script
        self._over = True

    def take_note(self, role: str, do: str, parameters: dict[str, Any]) -> None:
        """Note a request. The first one after the machines of an attempt were ended begins the next attempt."""
        self.asked.append(Asked(self.name, role, do, parameters))
        if do in {"link.configure", "observe.start"} and self._over:
            self._over = False
            self.script = self._next_script()
            self.sides, self.world = {}, World()
        elif do == "machine.end":
            self._over = True
        elif do == "machine.start":
            self.sides[role] = parameters["machine"]["name"]

    def lose(self, who: str) -> None:
        """End the channel of the node that has that side, or that role."""
        roles = {side: role for role, side in self.sides.items()}
        self.channels[roles.get(who, who)].close(0.0)

    def concerns(self, request: str | None, role: str, do: str, parameters: dict[str, Any]) -> bool:
        """Whether a script's name of a request means this one."""
        if request is None:
            return False
        who, colon, what = request.rpartition(":")
        service, slash, command = what.partition("/")
        if colon and who not in {role, self.sides.get(role)}:
            return False
        return do == service and (not slash or parameters.get("execute") == command)
