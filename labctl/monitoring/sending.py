"""One address that takes remote write: what is sent to it, and what becomes of that."""

import urllib.error
import urllib.request
from enum import StrEnum
from typing import Final

from labctl.errors import LabctlError
from labctl.monitoring.addresses import checked, secret
from labctl.monitoring.wire import HEADERS

TOKEN: Final = "LABCTL_REMOTE_WRITE_TOKEN"  # noqa: S105 - the variable's name
"""environment: a bearer token; with `_FILE`, the file that it stands in"""
ANSWER_S: Final = 10.0
"""for one request"""
_SAID: Final = 300


class Away(LabctlError):  # noqa: N818 - named for what happened, as in labctl.errors
    """Nobody took the request; it may be tried again."""


class Refused(LabctlError):  # noqa: N818 - the same
    """It was read and is not taken, however often it is sent."""


class Target:
    """Where to send. Raises InputError for an address that is none, or that holds a password."""

    def __init__(self, url: str) -> None:
        checked(
            url,
            place="--remote-write",
            example="http://127.0.0.1:9090/api/v1/write",
            instead=f"give a token by the environment: {TOKEN}, or {TOKEN}_FILE",
        )
        self.url = url
        self._headers = HEADERS | (
            {"Authorization": f"Bearer {token}"} if (token := secret(TOKEN)) else {}
        )

    def send(self, data: bytes) -> None:
        """Send a body. Away, Refused."""
        request = urllib.request.Request(self.url, data, dict(self._headers))  # noqa: S310 - checked above
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S):  # noqa: S310 - the same
                return
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(_SAID).decode(errors="replace").strip()
            kind = Away if error.code >= 500 or error.code == 429 else Refused
            raise kind(f"answered {error.code}: {said}", place=self.url) from None
        except OSError as error:
            raise Away(
                f"cannot be reached: {getattr(error, 'reason', error)}", place=self.url
            ) from None


class Fate(StrEnum):
    """What became of a trial's samples."""

    SENT = "sent"
    DROPPED = "dropped"
    """they waited too long, or the run ended"""
    REFUSED = "refused"
