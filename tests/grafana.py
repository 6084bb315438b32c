"""A Grafana that keeps its state in lists: it answers over HTTP on the loopback address, in the shapes that Grafana documents.

https://grafana.com/docs/grafana/latest/developer-resources/api-reference/http-api/
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "glsa_NobodyMaySeeThis_0123abcd"
Answer = tuple[int, Any]
"""status and body: JSON, but a text where it is one"""


@dataclass
class Grafana:
    """What it holds. `path`: where it is served under. `instead`: what it says, whatever it is asked; None: nothing."""

    path: str = ""
    folders: dict[str, dict[str, Any]] = field(default_factory=dict)
    datasources: dict[str, dict[str, Any]] = field(default_factory=dict)
    dashboards: dict[str, dict[str, Any]] = field(default_factory=dict)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    instead: dict[tuple[str, str], Answer | None] = field(default_factory=dict)
    """by method and the beginning of what is under /api"""
    closing: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    def answer(self, method: str, target: str, token: str, body: dict[str, Any]) -> Answer | None:
        parts = urlsplit(target)
        prefix = f"{self.path}/api"
        if not parts.path.startswith(f"{prefix}/"):
            return 404, "<html>Not found</html>"
        name = parts.path.removeprefix(prefix)
        self.asked.append((method, name))
        for (kind, start), said in self.instead.items():
            if kind == method and name.startswith(start):
                return said
        if token != f"Bearer {TOKEN}":
            return 401, {
                "message": "Invalid API key",
                "messageId": "api-key.invalid",
                "statusCode": 401,
            }
        return self._api(method, name, body, parse_qs(parts.query))

    def _api(
        self, method: str, name: str, body: dict[str, Any], query: dict[str, list[str]]
    ) -> Answer:
        match method, name.strip("/").split("/"):
            case "GET", ["folders", uid]:
                missing = {"message": "folder not found", "status": "not-found"}
                return (200, self.folders[uid]) if uid in self.folders else (404, missing)
            case "POST", ["folders"]:
                return self._new_folder(body)
            case "GET", ["datasources", "uid", uid]:
                missing = {"message": "Data source not found"}
                return (200, self.datasources[uid]) if uid in self.datasources else (404, missing)
            case "POST", ["datasources"]:
                return self._kept(
                    "added",
                    {
                        "id": 7,
                        "orgId": 1,
                        "isDefault": False,
                        "readOnly": False,
                        "version": 1,
                        **body,
                    },
                )
            case "PUT", ["datasources", "uid", uid] if uid == body["uid"]:
                return self._kept("updated", {**body, "version": body["version"] + 1})
            case "POST", ["dashboards", "db"]:
                return self._dashboard(body)
            case "GET", ["annotations"]:
                return 200, self._found(query)
            case "POST", ["annotations"]:
                return self._annotation(body)
        return 404, {"message": "Not found"}  # fmt: skip

    def _new_folder(self, body: dict[str, Any]) -> Answer:
        if body["uid"] in self.folders:
            return 409, {"message": "a folder with the same uid already exists"}
        url = f"{self.path}/dashboards/f/{body['uid']}/{body['title']}"
        self.folders[body["uid"]] = {"id": 1, "url": url, "version": 1, "canSave": True, **body}
        return 200, self.folders[body["uid"]]

    def _kept(self, how: str, whole: dict[str, Any]) -> Answer:
        taken = [uid for uid, it in self.datasources.items() if it["name"] == whole["name"]]
        if taken not in ([], [whole["uid"]]):
            return 409, {"message": "data source with the same name already exists"}
        self.datasources[whole["uid"]] = whole
        return 200, {"datasource": whole, "id": whole["id"], "message": f"Datasource {how}", "name": whole["name"]}  # fmt: skip

    def _dashboard(self, body: dict[str, Any]) -> Answer:
        model, before = body["dashboard"], self.dashboards.get(body["dashboard"]["uid"])
        if body["folderUid"] not in self.folders:
            return 400, {"message": "folder not found"}
        if before is not None and not body["overwrite"]:
            return 412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"}  # fmt: skip
        version = before["version"] + 1 if before else 1
        self.dashboards[model["uid"]] = {**body, "version": version}
        slug = model["title"].replace(": ", "-")
        url = f"{self.path}/d/{model['uid']}/{slug}"
        return 200, {"id": 1, "uid": model["uid"], "url": url, "status": "success", "version": version, "slug": slug}  # fmt: skip

    def _found(self, asked: dict[str, list[str]]) -> list[dict[str, Any]]:
        wanted = set(asked.get("tags", []))
        found = [it for it in reversed(self.annotations) if wanted <= set(it["tags"])]
        return found[: int(asked.get("limit", ["100"])[0])]

    def _annotation(self, body: dict[str, Any]) -> Answer:
        if not body.get("text"):
            return 400, {"message": "Failed to save annotation", "error": "text field should not be empty"}  # fmt: skip
        end = body["time"] if body.get("timeEnd") is None else body["timeEnd"]
        number = len(self.annotations) + 1
        kept: dict[str, Any] = {"id": number, "alertId": 0, "dashboardUID": None, "panelId": 0, "userId": 1, "data": {}}  # fmt: skip
        seen = {"time": body["time"], "timeEnd": end, "text": body["text"], "tags": body["tags"]}
        self.annotations.append(kept | seen)
        return 200, {"message": "Annotation added", "id": number}


@contextmanager
def serving(grafana: Grafana) -> Iterator[Grafana]:
    """Answer, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
            pass

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            token = self.headers.get("Authorization", "")
            answer = grafana.answer(self.command, self.path, token, body)
            if answer is None:
                grafana.closing.wait(30)
                self.close_connection = True
                return
            status, said = answer
            page = isinstance(said, str)
            data = said.encode() if page else json.dumps(said).encode()
            kind = "text/html" if page and said.startswith("<") else "application/json"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _handle  # noqa: N815 - the base class' names

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        grafana.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield grafana
        finally:
            grafana.closing.set()
            server.shutdown()
            thread.join()
