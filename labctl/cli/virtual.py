"""`labctl lab up` and `down`: labs of virtual machines on this machine."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from labctl.cli.console import err, live, say, tell
from labctl.cli.options import settings
from labctl.cli.playing import shown, sudo_password
from labctl.cli.root import Settings
from labctl.units import parse_size

if TYPE_CHECKING:
    from labctl.playbook import TaskEvent

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The lab's name, say virtual.")]
MIB: Final = 2**20
_ALMOST: Final = 0.97
"""of its time, at most, while a part is not over"""


def up(
    ctx: typer.Context,
    name: NameArgument,
    *,
    suite: Annotated[
        str,
        typer.Option(
            help="Debian suite of its hosts: bookworm, trixie, trixie-backports.", show_default=True
        ),
    ] = "bookworm",
    hosts: Annotated[int, typer.Option(help="How many hosts; two make a pair.", min=2)] = 2,
    memory: Annotated[str, typer.Option(help="Memory of each host.")] = "1GiB",
    cpus: Annotated[int, typer.Option(help="Processors of each host.", min=1)] = 1,
    accelerator: Annotated[
        str, typer.Option(help="What runs them: kvm, tcg, or auto, which tries kvm.")
    ] = "auto",
    package: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A Debian package more in its hosts.")
    ] = None,
) -> None:
    """Make a lab of virtual machines on this machine.

    Its hosts are joined by a network of their own with soft-RoCE on it, and provisioned as every
    lab's. It is there under its name until `labctl lab down`.
    """
    from labctl.virtual import Wanted, bring_up

    wanted = Wanted(
        suite=suite,
        hosts=hosts,
        memory_mib=parse_size(memory) // MIB,
        cpus=cpus,
        accelerator=accelerator,
        packages=tuple(sorted(package or ())),
    )
    password = sudo_password()
    started = time.monotonic()
    with _following(settings(ctx), name) as on_task:
        did = bring_up(name, wanted, on_task=on_task, become_password=password)
    took = f" ({time.monotonic() - started:.0f} s)" if did else ""
    tell(f"{name}: {'up' if did else 'runs already'}{took}")
    say(f"labctl run campaigns/transports.yaml --lab {name}")


def down(ctx: typer.Context, name: NameArgument) -> None:
    """End a lab that up has made; only its image stays, cached.

    Of a lab that was half made too, when up has died.
    """
    from labctl.virtual import take_down

    told = None if settings(ctx).quiet else shown
    was = take_down(name, on_task=told, become_password=sudo_password())
    tell(f"{name}: {'down' if was else 'there is none'}")


@contextmanager
def _following(settings: Settings, name: str) -> "Iterator[Callable[[TaskEvent], None] | None]":
    """Who is told each task that ends: every task where much is wanted, a bar on a terminal, a line a part elsewhere."""
    if settings.quiet or settings.verbosity > 0:
        yield None if settings.quiet else shown
        return
    if not live(err()):
        yield _Parts(lambda part: tell(f"{name}: {part.what}")).heard
        return
    with _bar(name) as hear:
        yield hear


@dataclass(frozen=True)
class Part:
    """A part of bringing a lab up, and the seconds it takes on two quiet cores, with nothing there yet and no KVM."""

    what: str
    seconds: float


IMAGE = Part("its image is made", 45)
BOOT = Part("its hosts boot", 30)
PROVISIONING = Part("its hosts are provisioned", 75)
PARTS: Final = (IMAGE, BOOT, PROVISIONING)


class _Parts:
    """Which part a lab is at, by the tasks that end; `told` hears of each that begins."""

    def __init__(self, told: Callable[[Part], None]) -> None:
        self._told = told
        self._has_image = False
        self.at: Part | None = None

    def heard(self, task: "TaskEvent") -> None:
        """A task has ended. Some of a part's tasks are other roles': it ends where a later one's first task does."""
        found = self.at or IMAGE
        self._has_image |= task.role == "virtual_image"
        if task.host != "localhost":
            found = PROVISIONING
        elif task.role == "virtual_hosts" and self._has_image:  # not yet as it checks what is asked
            found = BOOT
        if self.at is None or PARTS.index(found) > PARTS.index(self.at):
            self.at = found
            self._told(found)


@contextmanager
def _bar(name: str) -> "Iterator[Callable[[TaskEvent], None]]":
    """A bar, by the time that each part usually takes."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    class Shown(Progress):
        """A bar that goes on between the tasks."""

        since = time.monotonic()

        def begin(self, _part: Part) -> None:
            """A part begins."""
            self.since = time.monotonic()

        def get_renderables(self) -> Any:
            """As in `Progress`; asked for some times a second."""
            part = parts.at or IMAGE
            done_s = sum(each.seconds for each in PARTS[: PARTS.index(part)])
            done_s += min(time.monotonic() - self.since, part.seconds * _ALMOST)
            left = f"about {total_s - done_s:.0f} s left"
            self.update(task, completed=done_s, description=f"{name}: {part.what}", left=left)
            return super().get_renderables()

    total_s = sum(part.seconds for part in PARTS)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
    shown = Shown(*columns, TimeElapsedColumn(), console=err(), transient=True)
    parts = _Parts(shown.begin)
    task = shown.add_task(name, total=total_s, left="")
    with shown:
        yield parts.heard
