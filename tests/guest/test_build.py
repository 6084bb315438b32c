"""The build: the same bytes always, and a mend where it cannot be built."""

import hashlib
import shutil
from pathlib import Path

import pytest

from hatch_build import load_guest_builder
from labctl.guest import build

ROOT = Path(build.__file__).parents[2]


def test_the_same_bytes_twice_and_from_another_directory(tmp_path: Path) -> None:
    here = build.build_guest(tmp_path / "here")
    again = build.build_guest(tmp_path / "a b")
    copy = tmp_path / "copy" / "labctl" / "guest"
    shutil.copytree(build.SOURCES, copy / "src")
    shutil.copy(build.__file__, copy)
    elsewhere = load_guest_builder(tmp_path / "copy").build_guest(tmp_path / "elsewhere")
    images = {path.read_bytes() for path in (here, again, elsewhere)}
    assert len(images) == 1
    assert str(ROOT).encode() not in images.pop()
    assert sorted(path.name for path in here.parent.iterdir()) == ["guest.elf"]


def test_the_image_is_that_of_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = tmp_path / "src"
    shutil.copytree(build.SOURCES, sources)
    monkeypatch.setattr(build, "SOURCES", sources)
    monkeypatch.setattr(build, "IMAGE", tmp_path / "build" / "guest.elf")
    first = build.guest_sha256()
    built = build.IMAGE.stat().st_mtime_ns
    assert build.guest_image() == build.IMAGE
    assert build.IMAGE.stat().st_mtime_ns == built
    assert build.guest_sha256() == first == hashlib.sha256(build.IMAGE.read_bytes()).hexdigest()
    with (sources / "main.c").open("a") as main:
        main.write("/* other sources */\n")
    assert build.guest_sha256() != first


def test_without_a_compiler_the_mend_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "IMAGE", tmp_path / "guest.elf")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"no gcc, ld, objcopy .*: apt install gcc"):
        build.guest_image()


def test_a_fault_in_the_sources_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = tmp_path / "src"
    shutil.copytree(build.SOURCES, sources)
    monkeypatch.setattr(build, "SOURCES", sources)
    (sources / "clock.c").write_text("int broken(void) { }\n")
    with pytest.raises(RuntimeError, match=r"clock\.c.*-Werror"):
        build.build_guest(tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
