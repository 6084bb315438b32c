"""Roles and playbooks played on hosts, with variables of a test's own."""

import json
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labctl import provision
from labctl.data import data_path
from labctl.playbook import PlaybookRun, TaskEvent

PLAY = """
- hosts: hypervisors
  gather_subset: [min, virtual]
  {tasks}
"""
TIMEOUT_S = 300.0


@dataclass
class Played:
    """What came of it: the tasks that changed something (or would), and what the playbook said by itself."""

    changed: list[TaskEvent] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def changes(self) -> str:
        """All messages of changes, to look for one in."""
        return "\n".join(task.message for task in self.changed)


@dataclass(frozen=True)
class Player:
    """Plays roles on the hosts of an inventory. `folder` is the test's own."""

    inventory: Path
    folder: Path

    def __call__(
        self, *roles: str, check: bool = False, limit: str | None = None, **variables: Any
    ) -> Played:
        """Roles, in that order, as a playbook has them. ProvisionError when one fails."""
        return self._play("roles: [" + ", ".join(roles) + "]", variables, check, limit)

    def back(self, role: str, *, check: bool = False, limit: str | None = None) -> Played:
        """A role's way back, and out of the folders that all of them use."""
        undo = f"ansible.builtin.include_role: {{name: {role}, tasks_from: unprovision}}"
        leave = f"ansible.builtin.include_tasks: {data_path('playbooks/tasks/leave.yml')}"
        return self._play(f"tasks: [{undo}, {leave}]", {}, check, limit)

    def book(
        self, book: Path, *, check: bool = False, limit: str | None = None, **variables: Any
    ) -> Played:
        """A playbook that there is."""
        return self._run(book, variables, check, limit)

    def _play(
        self, tasks: str, variables: dict[str, Any], check: bool, limit: str | None
    ) -> Played:
        book = self.folder / "play.yml"
        book.write_text(PLAY.format(tasks=tasks))
        roles = self.folder / "roles"
        if not roles.exists():
            roles.symlink_to(data_path("playbooks/roles"))
        return self._run(book, variables, check, limit)

    def _run(self, book: Path, variables: dict[str, Any], check: bool, limit: str | None) -> Played:
        given = self.folder / "variables.json"
        given.write_text(json.dumps(variables))
        options = provision._options(check=check, diff=False, limit=limit)
        run = PlaybookRun(book, self.inventory, [*options, f"--extra-vars=@{given}"], TIMEOUT_S)
        played, failures = Played(), []
        with closing(run.events()) as events:
            for task in events:
                if task.status in {"failed", "unreachable"}:
                    failures.append(task)
                elif task.status == "changed":
                    played.changed.append(task)
                elif task.status == "ok" and task.message:
                    played.said.append(task.message)
        provision._judge(run, failures, TIMEOUT_S)
        return played
