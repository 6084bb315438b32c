"""Root: had without a question, or asked for while nothing is shown yet."""

import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from labctl.cli.options import may_ask
from labctl.lab import child

REMOTE = "hypervisors: {hosts: {h1: {ansible_host: 192.0.2.1}, h2: {ansible_host: 192.0.2.2}}}\n"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that a password would have been asked for."""
    questions: list[str] = []
    monkeypatch.setattr(child, "ask_privilege", lambda: questions.append("sudo -v"))
    return questions


def test_root_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> NoReturn:
        pytest.fail("something was started")

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(subprocess, "run", never)
    assert child.has_privilege()
    may_ask("not even read")


def test_without_sudo_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert not child.has_privilege()


def test_a_password_is_wanted_for_the_lab_on_this_machine_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: list[str]
) -> None:
    monkeypatch.setattr(child, "has_privilege", lambda: False)
    remote = tmp_path / "rack.yml"
    remote.write_text(REMOTE)
    may_ask(str(remote))
    assert asked == []
    may_ask("local")
    assert asked == ["sudo -v"]
