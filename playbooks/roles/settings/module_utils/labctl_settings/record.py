"""Sets things, and remembers what each was before, so that to ask for nothing is the way back.

A record is a JSON file, a list of `{kind, name, before}` in the order in which things were first changed. It is written
before the change that it is about: whatever ends us, the way back is known. What the record names and nobody asks for any
more is put back, the last first; then what is asked for is set.
"""

from __future__ import annotations

import json
from glob import glob
from pathlib import Path
from typing import Any

from .access import Access
from .bonds import Bond
from .files import File
from .firewall import Accept
from .links import Link
from .modules import Module
from .rxe import Rxe
from .services import Service
from .shaping import Shaping
from .thing import Absent, NotInstalled, Refused, State, Thing
from .users import User
from .values import Value

KINDS: dict[str, type[Thing]] = {
    kind.kind: kind
    for kind in (Accept, Access, Bond, File, Link, Module, Rxe, Service, Shaping, User, Value)
}


class Settings:
    """The things that one owner has set on this host. `apply` does it; then the attributes say what was done.

    :ivar changes: each `{kind, name, before, after}`, as text; `names` how many things the same happened to
    :ivar differences: before and after of each change, as Ansible shows them
    :ivar skipped: what the host does not have, each with the reason
    """

    def __init__(self, record: Path, *, check: bool) -> None:
        self.changes: list[str] = []
        self.differences: list[dict[str, str]] = []
        self.skipped: list[str] = []
        self._path = record
        self._check = check
        self._record: list[dict[str, Any]] = (
            json.loads(record.read_text(encoding="utf-8")) if record.exists() else []
        )

    def apply(self, asked: list[dict[str, Any]]) -> None:
        """Put back what nobody asks for any more, set what is asked. :raise Refused: something cannot be so."""
        things = [thing for item in asked for thing in self._things(item)]
        kept = {(thing.kind, thing.name) for thing in things}
        for entry in reversed(list(self._record)):
            if (entry["kind"], entry["name"]) not in kept:
                self._put_back(entry)
        for thing in things:
            try:
                self._set(thing)
            except Absent as why:
                if self._check and isinstance(why, NotInstalled):
                    self.skipped.append(
                        f"{thing.name}: {why} yet, so what would change is not known"
                    )
                elif thing.asked.get("required", True):
                    raise Refused(str(why)) from None
                else:
                    self.skipped.append(str(why))

    def _things(self, item: dict[str, Any]) -> list[Thing]:
        kinds = KINDS.keys() & item.keys()
        if len(kinds) != 1:
            raise Refused(f"not one thing of a known kind: {item}")
        (kind,) = kinds
        name = str(item[kind])
        # A pattern stands for all the files it fits; when there are none, its own name says which are missing.
        names = (sorted(glob(name)) if kind == "value" else []) or [name]  # noqa: PTH207 - a whole path
        return [KINDS[kind](one, item) for one in names]

    def _set(self, thing: Thing) -> None:
        now = thing.now()
        recorded = [entry for entry in self._record if _is(entry, thing)]
        wanted = thing.wanted(recorded[0]["before"] if recorded else now)
        if now == wanted:
            return
        thing.changeable()
        if not self._check:
            if not recorded:
                self._record.append({"kind": thing.kind, "name": thing.name, "before": now})
                self._save()
            try:
                thing.put(wanted)
            except Absent:
                if not recorded:
                    self._forget(thing)
                raise
            if (is_now := thing.now()) != wanted:
                raise Refused(
                    f"{thing.name}: asked for {thing.said(wanted)}, in force is {thing.said(is_now)}"
                )
        self._tell(thing, now, wanted)

    def _put_back(self, entry: dict[str, Any]) -> None:
        thing = KINDS[entry["kind"]](entry["name"], {})
        try:
            now = thing.now()
            if now != entry["before"]:
                thing.changeable()
                if not self._check:
                    thing.put(entry["before"])
                self._tell(thing, now, entry["before"])
        except Absent as why:  # gone since, and its setting with it
            self.skipped.append(str(why))
        if not self._check:
            self._forget(thing)

    def _forget(self, thing: Thing) -> None:
        self._record = [entry for entry in self._record if not _is(entry, thing)]
        self._save()

    def _save(self) -> None:
        if not self._record:
            self._path.unlink()
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.touch(mode=0o600)  # it holds files that may not be everybody's to read
        fresh.write_text(json.dumps(self._record, indent=1) + "\n", encoding="utf-8")
        fresh.replace(self._path)

    def _tell(self, thing: Thing, before: State, after: State) -> None:
        said = f"{thing.name}: {thing.said(before)} -> {thing.said(after)}"
        self.changes.append(said)
        if isinstance(thing, File):
            old, new = File.content(before), File.content(after)
        else:
            old, new = f"{thing.said(before)}\n", f"{thing.said(after)}\n"
        header = {"before_header": thing.name, "after_header": thing.name}
        self.differences.append({"before": old, "after": new, **header})


def _is(entry: dict[str, Any], thing: Thing) -> bool:
    return bool(entry["kind"] == thing.kind and entry["name"] == thing.name)
