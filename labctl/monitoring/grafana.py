"""Grafana's HTTP API, behind one adapter: what labctl keeps in a Grafana, made or brought up to date.

It stands on grafana-client, which the extra `labctl[grafana]` brings and which is slow to import. Documented at
https://grafana.com/docs/grafana/latest/developer-resources/api-reference/http-api/.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from labctl.data import data_path
from labctl.errors import InputError, LabctlError
from labctl.monitoring.addresses import checked, secret

FOLDER: Final = ("labctl", "labctl")
"""uid and title"""
DATASOURCE: Final = "labctl-prometheus"
"""uid and name; the dashboards take it where it is"""
TOKEN: Final = "LABCTL_GRAFANA_TOKEN"  # noqa: S105 - the variable's name
"""environment: the token of a service account; with `_FILE`, the file that it stands in"""
ANSWER_S: Final = 10.0
"""for one request"""
_MARKS: Final = 10_000
"""of one trial, or faults of one run: more than there are"""
_SAID: Final = 200
_BY_ENVIRONMENT: Final = f"give a token by the environment: {TOKEN}, or {TOKEN}_FILE"
_MENDS: Final = {
    401: f"is the token of {TOKEN} of this Grafana, and still valid?",
    403: "give the token's service account the role Editor; a data source takes the role Admin",
    404: "give --url as Grafana's own pages have it, with the path that it is served under",
    409: "something there has this name and is not labctl's: rename it in Grafana, or delete it",
    412: "something there has this name and is not labctl's: rename it in Grafana, or delete it",
}
_SERVERS_FAULT: Final = "Grafana's own log says why"

Answer = TypeVar("Answer", dict[str, Any], list[Any])


@dataclass(frozen=True)
class Annotation:
    """A mark of all dashboards that ask for its tags; moments in ms since 1970."""

    start_ms: int
    end_ms: int | None
    text: str
    tags: tuple[str, ...]


class Grafana:
    """One Grafana. Every method raises LabctlError where it refuses or cannot be reached."""

    def __init__(self, url: str) -> None:
        """The token comes from the environment. InputError for what is no address, and where there is no token."""
        parts = checked(
            url, place="--url", example="http://127.0.0.1:3000", instead=_BY_ENVIRONMENT
        )
        if parts.query or parts.fragment:
            raise InputError("holds more than host and path", place="--url", mend=_MENDS[404])
        try:
            from grafana_client.api import GrafanaApi
        except ImportError:
            raise InputError(
                "grafana-client is not installed", mend="pip install 'labctl[grafana]'"
            ) from None
        self._token = _token(url)
        self._url = url.rstrip("/")
        self._path = parts.path.rstrip("/")
        # Not from_url: it loses the brackets of an IPv6 address, and glues a path to `api`.
        self._api: Any = GrafanaApi(  # whose methods have no types
            self._token,
            protocol=parts.scheme,
            host=f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname,
            port=parts.port,
            url_path_prefix=f"{self._path}/".lstrip("/"),
            timeout=ANSWER_S,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._api.client.s.close()

    def put_folder(self) -> bool:
        """Make the folder; whether it was not there."""
        uid, title = FOLDER
        with self._asking():
            if self._there(lambda: self._api.folder.get_folder(uid)) is not None:
                return False
            _read(self._api.folder.create_folder(title, uid=uid), dict)
        return True

    def put_datasource(self, prometheus_url: str) -> bool:
        """Make the data source, or bring its address up to date; whether it was not there.

        What somebody has set of it besides stays, and one that a file provisions is left to that.
        """
        settings = {"httpMethod": "POST", "timeInterval": "1s"}
        address = {"type": "prometheus", "url": prometheus_url}
        with self._asking():
            found = self._there(lambda: self._api.datasource.get_datasource_by_uid(DATASOURCE))
            if found is None:
                new = {"uid": DATASOURCE, "name": DATASOURCE, "access": "proxy", **address}
                _read(self._api.datasource.create_datasource({**new, "jsonData": settings}), dict)
                return True
            if not found.get("readOnly"):
                kept = {**settings, **(found.get("jsonData") or {})}
                changed = {**found, **address, "jsonData": kept}
                _read(self._api.datasource.update_datasource_by_uid(DATASOURCE, changed), dict)
        return False

    def put_dashboard(self, dashboard: dict[str, Any]) -> str:
        """Make a dashboard, or bring it up to date; its address."""
        # Both are of the Grafana that it was exported from; there its uid says which one it is.
        content = {key: value for key, value in dashboard.items() if key not in {"id", "version"}}
        whole = {"dashboard": content, "folderUid": FOLDER[0], "overwrite": True}
        with self._asking():
            answer = _read(self._api.dashboard.update_dashboard(whole), dict)
        # Grafana gives the path that it is served under, too, where it knows of one.
        return self._url + str(answer.get("url", "")).removeprefix(self._path)

    def put_marks(self, marks: Sequence[Annotation]) -> int:
        """Put those that are not there yet; how many. They have tags in common, which nothing else has."""
        if not marks:
            return 0
        common = set(marks[0].tags).intersection(*(mark.tags for mark in marks))
        there = self._marks_with(sorted(common))
        new = [mark for mark in marks if (mark.start_ms, frozenset(mark.tags)) not in there]
        for mark in new:
            with self._asking():
                answer = self._api.annotations.add_annotation(
                    time_from=mark.start_ms,
                    time_to=mark.end_ms,
                    tags=list(mark.tags),
                    text=mark.text,
                )
                _read(answer, dict)
        return len(new)

    def _marks_with(self, tags: Sequence[str]) -> set[tuple[int, frozenset[str]]]:
        """When they begin, and their tags: a text may have been edited."""
        # grafana-client puts tags into the address as they are.
        quoted = [quote(tag, safe="") for tag in tags]
        with self._asking():
            answer = self._api.annotations.find_annotations(
                tags=quoted, ann_type="annotation", limit=_MARKS
            )
            found = [_read(mark, dict) for mark in _read(answer, list)]
        return {(mark.get("time", 0), frozenset(mark.get("tags") or ())) for mark in found}

    @staticmethod
    def _there(ask: Callable[[], Any]) -> dict[str, Any] | None:
        from grafana_client.client import GrafanaClientError

        try:
            return _read(ask(), dict)
        except GrafanaClientError as error:
            # A token that may read some things only is told 403 of those that do not exist, too: making it will tell.
            if error.status_code in {403, 404}:
                return None
            raise

    @contextmanager
    def _asking(self) -> Iterator[None]:
        from grafana_client.client import GrafanaException, GrafanaTimeoutError

        try:
            yield
        except GrafanaTimeoutError:
            raise self._error(f"gave no answer within {ANSWER_S:g} s") from None
        except GrafanaException as error:
            status = error.status_code
            mend = _SERVERS_FAULT if status >= 500 else _MENDS.get(status)
            raise self._error(f"answers {status}{_said(error.response)}", mend) from None
        except ValueError:  # before OSError: niquests' JSONDecodeError is both
            raise self._error("does not answer as Grafana does", _MENDS[404]) from None
        except OSError as error:
            raise self._error(f"cannot be reached: {_why(error)}", "is it --url?") from None

    def _error(self, fault: str, mend: str | None = None) -> LabctlError:
        return LabctlError(fault.replace(self._token, "…"), place=self._url, mend=mend)


def dashboards() -> dict[str, dict[str, Any]]:
    """The dashboards that come along, by name."""
    folder: Path = data_path("dashboards")
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def _token(url: str) -> str:
    token = secret(TOKEN)
    if not token:
        raise InputError(
            "no token to speak with Grafana",
            place=url,
            mend=f"make a service account with the role Admin there (Editor, to annotate), and {_BY_ENVIRONMENT}",
        )
    if not re.fullmatch(r"[!-~]+", token):  # else it would be refused further down, and shown
        raise InputError(
            "is no token of Grafana: there is a blank in it, or a line break",
            place=TOKEN,
            mend=_BY_ENVIRONMENT,
        )
    return token


def _read(answer: Any, kind: type[Answer]) -> Answer:
    """An answer of the kind that is documented. A page, such as that of a proxy before Grafana, is none."""
    if not isinstance(answer, kind):
        raise ValueError(f"no {kind.__name__}")  # noqa: TRY004 - of what was said, not of our own
    return answer


def _said(response: Any) -> str:
    """What Grafana says of what it refuses, short; nothing of a page."""
    text = response.get("message") if isinstance(response, dict) else response
    text = " ".join(str(text or "").split())
    return "" if not text or text.startswith("<") else f": {text[:_SAID]}"


def _why(error: BaseException) -> str:
    """What the operating system said, under several layers of exceptions."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return str(getattr(error, "strerror", None) or error)
