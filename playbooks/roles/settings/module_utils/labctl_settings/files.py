"""Files of a host's configuration, whole."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from .thing import State, Thing


class File(Thing):
    """`content` and `mode` of a file, root's. A link is replaced by the file, and put back as the link that it was.

    What is not there is `{"missing": PATH}`, the first folder on the way that is missing or the file itself: the way back
    removes that much.
    """

    kind = "file"

    def now(self) -> State:
        path = Path(self.name)
        if path.is_symlink():
            return {"link": str(path.readlink())}
        if not path.exists():
            return {"missing": str(_first_missing(path))}
        told = path.stat()
        return _state(_text(path), told.st_mode & 0o7777, told.st_uid, told.st_gid)

    def wanted(self, before: State) -> State:
        mode = int(self.asked.get("mode", "0644"), 8)
        return _state(self.asked["content"], mode, os.geteuid(), os.getegid())

    def put(self, state: State) -> None:
        path = Path(self.name)
        if "missing" in state:
            path.unlink()
            # Folders up to that one, as far as nothing else is in them by now.
            with suppress(OSError):
                for folder in path.parents:
                    if str(folder) < state["missing"]:
                        break
                    folder.rmdir()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.labctl")
        if "link" in state:
            fresh.symlink_to(state["link"])
        else:
            fresh.write_text(state["content"], encoding="utf-8", errors="surrogateescape")
            fresh.chmod(int(state["mode"], 8))
            os.chown(fresh, state["uid"], state["gid"])
        fresh.replace(path)

    def said(self, state: State) -> str:
        if "missing" in state:
            return "absent"
        return f"-> {state['link']}" if "link" in state else f"{len(state['content'])} characters"

    @staticmethod
    def content(state: State) -> str:
        """What Ansible compares to show a difference."""
        return str(state.get("content", ""))


def _state(content: str, mode: int, uid: int, gid: int) -> State:
    return {"content": content, "mode": f"{mode:04o}", "uid": uid, "gid": gid}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def _first_missing(path: Path) -> Path:
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    return missing
