"""The root of the verbs: global options anywhere on the line, and errors as a user should see them."""

import logging
import re
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from labctl.cli.console import complain
from labctl.errors import LabctlError

INTERRUPTED = 130
_FLAGS = {"-v", "-vv", "-q", "--verbose", "--quiet"}
_VALUED = "--log-file"
_BARE = "--metrics"
"""an option that has a value or none"""
_ADDRESS = re.compile(r"(\S*:)?\d+")

log = logging.getLogger("labctl")


@dataclass(frozen=True)
class Settings:
    """The global options."""

    verbosity: int = 0
    """-1 errors and final lines only; 1 what happens; 2 everything"""
    log_file: Path | None = None

    @property
    def quiet(self) -> bool:
        """Whether only errors and the final line are wanted."""
        return self.verbosity < 0


class Root(TyperGroup):
    """`labctl` itself."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Global options may stand behind the verb too, where one thinks of them."""
        return super().parse_args(ctx, hoisted(with_values(args)))

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; whatever it raises becomes a message and an exit status."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, TyperException, BrokenPipeError):
            raise
        except LabctlError as error:
            log.debug("%s", error, exc_info=error)
            complain(str(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            complain("interrupted", bare=True)
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:  # noqa: BLE001 - the last one to catch anything
            settings = ctx.obj if isinstance(ctx.obj, Settings) else Settings()
            raise typer.Exit(_unexpected(error, settings)) from None


def _unexpected(error: Exception, settings: Settings) -> int:
    """Tell of a fault that is labctl's own; the exit status."""
    log.debug("labctl itself failed", exc_info=error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    said = f"{type(error).__name__}: {error}".strip(": ")
    complain(f"labctl itself failed, in {Path(last.filename).name}:{last.lineno}: {said}")
    if settings.verbosity > 0:
        complain("".join(traceback.format_exception(error)).rstrip(), bare=True)
    elif settings.log_file is None:
        complain("  mend: run it again with -v or --log-file to see where", bare=True)
    else:
        complain(f"  mend: {settings.log_file} says where", bare=True)
    return 1


def with_values(args: Sequence[str]) -> list[str]:
    """The arguments, `--metrics` with an empty value where no address follows."""
    found: list[str] = []
    for arg in args:
        if found and found[-1] == _BARE:
            found[-1:] = [f"{_BARE}={arg}"] if _ADDRESS.fullmatch(arg) else [f"{_BARE}=", arg]
        else:
            found.append(arg)
    return [*found[:-1], f"{_BARE}="] if found[-1:] == [_BARE] else found


def hoisted(args: Sequence[str]) -> list[str]:
    """The arguments with the global options first; what stands behind `--` is left alone."""
    options: list[str] = []
    rest: list[str] = []
    left: Iterator[str] = iter(args)
    for arg in left:
        if arg == "--":
            rest += [arg, *left]
        elif arg == _VALUED:
            options += [arg, *(value for value in [next(left, None)] if value is not None)]
        elif arg in _FLAGS or arg.startswith(f"{_VALUED}="):
            options.append(arg)
        else:
            rest.append(arg)
    return [*options, *rest]
