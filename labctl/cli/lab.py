"""`labctl lab`: check, clean, provision and unprovision a lab."""

import getpass
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labctl.cli.console import err, live, say, say_json, tell
from labctl.cli.options import JsonOption, LabArgument, as_typed, may_ask, settings
from labctl.cli.root import Settings
from labctl.errors import InputError, LabError, ProvisionError

if TYPE_CHECKING:
    from labctl.playbook import TaskEvent
    from labctl.provision import ProvisionResult

lab = typer.Typer(help="Check, clean, provision and unprovision a lab.", no_args_is_help=True)

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

    may_ask(name)
    removed = clean_lab(name)
    if as_json:
        say_json(removed)
        return
    for left in removed:
        ended = ", ".join(f"{entry['what']} (pid {entry['pid']})" for entry in left["alive"])
        where = f"{left['host']}: " if "host" in left else ""
        say(f"{where}{left['run']}: {left['directory']}{f', {ended}' if ended else ''}")
    tell("removed" if removed else "nothing was left")


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

    playing = partial(play, name, diff=diff, limit=limit, become_password=sudo_password(name))
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

    playing = partial(play, name, diff=diff, limit=limit, become_password=sudo_password(name))
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
    told, shown = (None, None) if settings.quiet else (_told, _shown)
    if check or not yes:
        tell(f"{name}: looking; nothing is changed yet")
        would = playing(check=True, on_task=told)
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
    changed = len(playing(on_task=shown).changed)
    say(f"{name}: {changed or 'no'} task{'' if changed == 1 else 's'} changed anything")


def _told(task: "TaskEvent") -> None:
    """One line for a task that ended; those that had nothing to do are passed over."""
    if task.status != "skipped":
        err().print(f"  {task}", style="dim" if task.status == "ok" else "bold", soft_wrap=True)


def _shown(task: "TaskEvent") -> None:
    """The same, with what the task made different."""
    _told(task)
    if task.diff:
        err().print(indent(task.diff, "    "), soft_wrap=True)


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


def sudo_password(name: str) -> str | None:
    """The password that sudo wants for a lab's tasks on this machine; None where it wants none.

    Ansible runs on a terminal of its own, so that sudo's memory of an answer given here would not
    reach it. What sudo wants on other hosts turns out there.
    """
    from labctl.lab.inventory import read_lab

    if os.geteuid() == 0 or not sys.stdin.isatty() or not read_lab(name).embedded:
        return None
    try:
        asks = subprocess.run(["sudo", "-k", "-n", "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return None  # Ansible says it, with the mend
    if asks.returncode == 0:
        return None
    return getpass.getpass(f"[sudo] password for {getpass.getuser()}: ")
