"""Doctor: each check is complete, and says what is missing when it is."""

import errno
import os
from pathlib import Path

import pytest

from labctl import doctor
from labctl.doctor import kernel, programs, room
from labctl.doctor.check import Look, Missing, ask, examine_with
from labctl.guest import build


def looks(answer: str | Exception) -> Look:
    def looking() -> str:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Look("x", "something", "it is needed", "get it", looking)


def test_each_check_says_what_why_and_how_to_mend() -> None:
    for check in doctor.CHECKS:
        assert all([check.id, check.what, check.reason, check.mend]), check.id
    ids = [check.id for check in doctor.CHECKS]
    assert len(ids) == len(set(ids))


def test_examining_this_machine_never_raises_and_mends_only_what_is_missing() -> None:
    findings = doctor.examine()
    assert [f.id for f in findings] == [c.id for c in doctor.CHECKS]
    for finding in findings:
        assert finding.detail
        assert (finding.mend is None) == finding.ok, finding


@pytest.mark.parametrize(
    ("answer", "ok", "detail", "mend"),
    [
        ("there", True, "there", None),
        (Missing("gone"), False, "gone", "get it"),
        (Missing("gone", mend="look under the table"), False, "gone", "look under the table"),
        (OSError(errno.EACCES, "no"), False, "[Errno 13] no", "get it"),
    ],
)
def test_a_finding(answer: str | Exception, ok: bool, detail: str, mend: str | None) -> None:
    (finding,) = examine_with([looks(answer)])
    assert (finding.ok, finding.detail, finding.mend) == (ok, detail, mend)


def fake(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_qemu_missing_old_and_odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match="qemu-system-x86_64 is not in PATH"):
        programs.qemu()
    fake(tmp_path, programs.QEMU, "echo QEMU emulator version 4.2.1")
    with pytest.raises(Missing, match="4\\.2"):
        programs.qemu()
    fake(tmp_path, programs.QEMU, "echo hello")
    with pytest.raises(Missing, match="does not say its version"):
        programs.qemu()
    fake(tmp_path, programs.QEMU, "echo 'cannot load libfoo.so' >&2; exit 127")
    with pytest.raises(Missing, match=r"libfoo\.so"):
        programs.qemu()
    fake(tmp_path, programs.QEMU, "echo QEMU emulator version 9.0.0")
    assert "9.0.0" in programs.qemu()


def test_missing_tools_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "TOOLS", ("sh", "no-such-tool", "nor-this"))
    with pytest.raises(Missing, match="no-such-tool, nor-this"):
        programs.tools()


def test_the_guest_without_image_and_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "IMAGE", tmp_path / "guest.elf")
    assert "will be compiled" in programs.guest()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match=r"not compiled.*gcc"):
        programs.guest()
    (tmp_path / "guest.elf").write_bytes(b"of other sources")
    with pytest.raises(Missing, match="older than its sources"):
        programs.guest()


def test_a_program_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labctl.doctor.check.ANSWER_TIMEOUT_S", 0.05)
    with pytest.raises(Missing, match="did not answer"):
        ask("sleep", "30")


def test_a_plain_user_without_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    fake(tmp_path, "sudo", "echo 'sudo: a password is required' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for look in (kernel.root, kernel.namespaces, kernel.shaping):
        with pytest.raises(Missing, match="a password is required"):
            look()


def test_room_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 999999 kB\nMemAvailable: 524288 kB\n")
    monkeypatch.setattr(room, "MEMINFO", meminfo)
    with pytest.raises(Missing, match=r"0\.5 GiB available; 1\.0 GiB are needed"):
        room.memory()
    monkeypatch.setattr(room, "NEEDED_DISK_BYTES", 1 << 60)
    with pytest.raises(Missing, match="free in"):
        room.disk()
    monkeypatch.setattr(room, "LIVE", tmp_path / "none")
    with pytest.raises(Missing, match="there is no"):
        room.live()
