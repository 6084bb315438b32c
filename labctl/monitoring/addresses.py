"""Servers that labctl is given to speak to: their addresses, checked before anything is sent, and the secrets for them."""

import os
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from labctl.errors import InputError


def checked(url: str, *, place: str, example: str, instead: str) -> SplitResult:
    """The parts of an address. InputError for what is none of HTTP, and for one with a user or a password in it.

    `place` is where it was given, `example` is one that would do, `instead` says how a secret is given.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that are none
        parts, known = SplitResult("", "", "", "", ""), False
    if parts.username is not None or parts.password is not None:
        raise InputError(
            "holds a password or a user, and everybody on this machine can read command lines",
            place=place,
            mend=instead,
        )
    if not known:
        # Of what cannot be read nobody knows which part is the password.
        said = "what was given" if "@" in url else repr(url)
        raise InputError(f"{said} is no address", place=place, mend=f"as in {example}")
    return parts


def secret(variable: str) -> str | None:
    """What the environment, or a file that it names, says; never a command line. InputError when that cannot be read."""
    path = os.environ.get(f"{variable}_FILE")
    if path is None:
        return os.environ.get(variable)
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "is no text"
        raise InputError(f"cannot be read: {why}", place=f"{variable}_FILE={path}") from None
