"""`labctl lab`: check, clean, provision and unprovision a lab; bring a virtual one up and down."""

import getpass
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labctl.cli.console import err, live, say, say_json, tell
from labctl.cli.options import JsonOption, LabArgument, as_typed, may_ask, settings
from labctl.cli.playing import shown, sudo_password, told
from labctl.cli.root import Settings
from labctl.cli.virtual import down, up
from labctl.errors import InputError, LabError, ProvisionError

if TYPE_CHECKING:
    from labctl.provision import ProvisionResult

lab = typer.Typer(help="Labs: up and down, check, clean, provision.", no_args_is_help=True)

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
CheckOption = Annotated[bool, typer.Option("--check", help="Only say what would change.")]
DiffOption = Annotated[bool, typer.Option("--diff", help="Show what is different in each change.")]
LimitOption = Annotated[
    str | None,
    typer.Option(
        "--limit", metavar="HOST", help="Only that host, or those, as Ansible names them."
    ),
]


@lab.command()
def check(name: LabArgument, *, as_json: JsonOption = False) -> None:
    """Open a lab as a run would, and say what works.

    Exit status: 0 it is usable, 3 it is not.
    """
    from labctl.lab import check_lab

    may_ask(name)
    console = err()
    if live(console):
        with console.status("opening the lab"):
            findings = check_lab(name)
    else:
        findings = check_lab(name)
    if as_json:
        say_json(
            [{"what": f.what, "ok": f.ok, "detail": f.detail, "mend": f.mend} for f in findings]
        )
    else:
        from labctl.cli.doctor import show

        show([(f.what, f.ok, f.detail) for f in findings])
        for finding in findings:
            if finding.mend and not finding.ok:
                say(f"\n{finding.what}: {finding.detail}\n  mend: {finding.mend}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(LabError.exit_code)


@lab.command()
def clean(name: LabArgument, *, as_json: JsonOption = False) -> None:
    """Remove what dead runs left, and nothing else."""
    from labctl.lab import clean_lab
    from labctl.lab.inventory import inventories
    from labctl.virtual import clear

    here = clear(name, password=sudo_password)
    removed: list[dict[str, Any]] = []
    # A virtual lab that was half made is no lab any more.
    if not here or name in inventories() or Path(name).exists():
        may_ask(name)
        removed = clean_lab(name)
    if as_json:
        say_json([*({"directory": path} for path in here), *removed])
        return
    for path in here:
        say(path)
    for left in removed:
        ended = ", ".join(f"{entry['what']} (pid {entry['pid']})" for entry in left["alive"])
        where = f"{left['host']}: " if "host" in left else ""
        say(f"{where}{left['run']}: {left['directory']}{f', {ended}' if ended else ''}")
    tell("removed" if here or removed else "nothing was left")


@lab.command()
def provision(
    ctx: typer.Context,
    name: LabArgument,
    *,
    yes: YesOption = False,
    check: CheckOption = False,
    diff: DiffOption = False,
    limit: LimitOption = None,
) -> None:
    """Bring a lab's hosts to what labctl needs.

    Shows what it will change, and asks.
    """
    from labctl.provision import provision as play

    playing = partial(play, name, diff=diff, limit=limit, become_password=_password(name))
    _play(_Asking(playing), settings(ctx), name, "provision", check=check, yes=yes)


@lab.command()
def unprovision(
    ctx: typer.Context,
    name: LabArgument,
    *,
    yes: YesOption = False,
    check: CheckOption = False,
    diff: DiffOption = False,
    limit: LimitOption = None,
) -> None:
    """Take back what provision did.

    Nothing that was there before it is touched. Shows what it will change, and asks.
    """
    from labctl.provision import unprovision as play

    playing = partial(play, name, diff=diff, limit=limit, become_password=_password(name))
    _play(_Asking(playing), settings(ctx), name, "unprovision", check=check, yes=yes)


class _Asking:
    """Plays; where sudo on a host turns out to want a password, a person is asked for it, once, and it is played anew."""

    def __init__(self, playing: "partial[ProvisionResult]") -> None:
        self._playing = playing

    def __call__(self, **options: Any) -> "ProvisionResult":
        from labctl.faults import ASKS

        try:
            return self._playing(**options)
        except ProvisionError as error:
            known = self._playing.keywords["become_password"] is not None
            if known or ASKS not in error.fault or not sys.stdin.isatty():
                raise
        password = getpass.getpass("sudo's password on the lab's hosts: ")
        self._playing = partial(self._playing, become_password=password)
        return self._playing(**options)


def _play(
    playing: "Callable[..., ProvisionResult]",
    settings: Settings,
    name: str,
    verb: str,
    *,
    check: bool,
    yes: bool,
) -> None:
    """Find out what would change, ask, change it: as far as the options say."""
    on_look, on_change = (None, None) if settings.quiet else (told, shown)
    if check or not yes:
        tell(f"{name}: looking; nothing is changed yet")
        would = playing(check=True, on_task=on_look)
        if not would.changed:
            say("nothing would change")
            return
        say("would change:")
        for task in would.changed:
            say(f"  {task.host}: {task.title}{f': {task.message}' if task.message else ''}")
            if task.diff:
                say(indent(task.diff, "    "))
        if check:
            return
        _ask(name, verb)
    changed = len(playing(on_task=on_change).changed)
    say(f"{name}: {changed or 'no'} task{'' if changed == 1 else 's'} changed anything")


def _ask(name: str, verb: str) -> None:
    """Go on, or end here."""
    if not sys.stdin.isatty():
        raise InputError(
            "nobody can be asked here",
            mend=f"to do it without a question: {as_typed('labctl', 'lab', verb, name, '--yes')}",
        )
    if not typer.confirm("change that?"):
        say("nothing was changed")
        raise typer.Exit


def _password(name: str) -> str | None:
    """Sudo's, where the lab's tasks run on this machine. What it wants on other hosts turns out there."""
    from labctl.lab.inventory import read_lab

    return sudo_password() if read_lab(name).embedded else None


lab.command()(up)
lab.command()(down)
