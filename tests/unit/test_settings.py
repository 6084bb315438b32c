"""What a role sets is remembered, and put back exactly: the record, and the kinds that need no root and no host of their own.

The kinds that do (services, users, interfaces, firewalls) are tried on real hosts: tests/system/test_roles_*.py.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labctl.data import data_path

UTILS = data_path("playbooks/roles/settings/module_utils")


@pytest.fixture(scope="module", autouse=True)
def utils() -> Iterator[None]:
    """Ansible puts the package where a module finds it; so does this."""
    sys.path.insert(0, str(UTILS))
    yield
    sys.path.remove(str(UTILS))
    for name in [name for name in sys.modules if name.partition(".")[0] == "labctl_settings"]:
        del sys.modules[name]


def part(name: str) -> Any:
    return importlib.import_module(f"labctl_settings.{name}")


Apply = Callable[..., Any]


@pytest.fixture
def apply(tmp_path: Path) -> Apply:
    """`apply(thing, ...)` is one run of the role `settings` by one owner, whose record is `record` here."""

    def apply_(*wanted: dict[str, Any], check: bool = False) -> Any:
        settings = part("record").Settings(tmp_path / "records" / "me.settings", check=check)
        settings.apply(list(wanted))
        return settings

    return apply_


def record(tmp_path: Path) -> list[dict[str, Any]]:
    path = tmp_path / "records" / "me.settings"
    return json.loads(path.read_text()) if path.exists() else []


def test_a_file_is_made_kept_and_removed_with_its_folders(apply: Apply, tmp_path: Path) -> None:
    path = tmp_path / "etc" / "some.d" / "own.conf"
    file = {"file": str(path), "content": "a = 1\n", "mode": "0640"}
    done = apply(file)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("a = 1\n", 0o640)
    assert done.changes == [f"{path}: absent -> 6 characters"]
    assert done.differences[0]["after"] == "a = 1\n"
    assert apply(file).changes == []

    apply({**file, "content": "a = 2\n"})
    assert path.read_text() == "a = 2\n"
    assert apply().changes == [f"{path}: 6 characters -> absent"]
    assert not (tmp_path / "etc").exists()
    assert not (tmp_path / "records" / "me.settings").exists()
    assert apply().changes == []


def test_a_file_that_was_there_comes_back_as_it_was(apply: Apply, tmp_path: Path) -> None:
    path = tmp_path / "chrony.conf"
    path.write_bytes(b"pool \xff\xfe\n")  # whatever bytes somebody wrote
    path.chmod(0o600)
    apply({"file": str(path), "content": "server x\n"})
    assert path.stat().st_mode & 0o777 == 0o644
    path.write_text("somebody has changed it since\n")
    apply()
    assert path.read_bytes() == b"pool \xff\xfe\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_comes_back_as_a_link(apply: Apply, tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("untouched\n")
    link.symlink_to(target)
    apply({"file": str(link), "content": "ours\n"})
    assert not link.is_symlink()
    assert target.read_text() == "untouched\n"
    apply()
    assert link.readlink() == target


def test_a_folder_that_others_use_by_now_stays(apply: Apply, tmp_path: Path) -> None:
    folder = tmp_path / "new.d"
    apply({"file": str(folder / "ours"), "content": ""})
    (folder / "theirs").touch()
    apply()
    assert [path.name for path in folder.iterdir()] == ["theirs"]


def test_of_a_choice_the_value_is_what_is_chosen(apply: Apply, tmp_path: Path) -> None:
    enabled = tmp_path / "enabled"
    enabled.write_text("always [madvise] never\n")
    assert apply({"value": str(enabled), "is": "madvise"}).changes == []
    assert apply({"value": str(enabled), "is": "never"}).changes == [f"{enabled}: madvise -> never"]
    assert record(tmp_path) == [{"kind": "value", "name": str(enabled), "before": "madvise"}]
    apply()
    assert enabled.read_text() == "madvise\n"


def test_a_pattern_stands_for_every_file_it_fits(apply: Apply, tmp_path: Path) -> None:
    for cpu, governor in enumerate(("powersave", "performance", "ondemand")):
        (tmp_path / f"policy{cpu}").write_text(f"{governor}\n")
    done = apply({"value": f"{tmp_path}/policy*", "is": "performance"})
    assert len(done.changes) == 2
    assert {path.read_text() for path in tmp_path.glob("policy*")} == {"performance\n"}
    apply()
    assert (tmp_path / "policy0").read_text() == "powersave\n"
    assert (tmp_path / "policy2").read_text() == "ondemand\n"


def test_what_is_asked_for_no_more_is_put_back(apply: Apply, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1\n")
    two.write_text("1\n")
    apply({"value": str(one), "is": "5"}, {"value": str(two), "is": "5"})
    assert apply({"value": str(two), "is": "6"}).changes == [f"{one}: 5 -> 1", f"{two}: 5 -> 6"]
    assert [entry["before"] for entry in record(tmp_path)] == ["1"]
    apply()
    assert (one.read_text(), two.read_text()) == ("1\n", "1\n")


def test_what_is_missing_is_a_fault_unless_it_may_be(apply: Apply, tmp_path: Path) -> None:
    missing = {"value": str(tmp_path / "policy*"), "is": "performance"}
    with pytest.raises(part("thing").Refused, match=r"policy\* is not there"):
        apply(missing)
    done = apply({**missing, "required": False})
    assert (done.changes, done.skipped) == ([], [f"{tmp_path}/policy* is not there"])


def test_what_the_kernel_does_not_take_is_left_out_and_told(apply: Apply) -> None:
    """/dev/full may be written to, and refuses: as an interrupt that cannot be moved does."""
    value = {"value": "/dev/full", "is": "1", "required": False}
    kind = part("values").Value
    original = kind.now
    kind.now = lambda self: "0"
    try:
        done = apply(value)
    finally:
        kind.now = original
    assert done.changes == []
    assert "does not take 1: No space left on device" in done.skipped[0]


def test_what_was_asked_for_and_is_not_in_force_is_a_fault(apply: Apply, tmp_path: Path) -> None:
    """Huge pages of which the kernel finds fewer; and the way back is known all the same."""
    pages = tmp_path / "nr_hugepages"
    pages.write_text("0\n")
    kind = part("values").Value
    original = kind.put
    kind.put = lambda self, state: original(self, "7" if state == "512" else state)
    try:
        with pytest.raises(part("thing").Refused, match="asked for 512, in force is 7"):
            apply({"value": str(pages), "is": "512"})
        apply()
    finally:
        kind.put = original
    assert pages.read_text() == "0\n"


def test_the_record_is_written_before_the_change(apply: Apply, tmp_path: Path) -> None:
    """Whatever ends us in the middle, the way back is known."""
    value = tmp_path / "value"
    value.write_text("before\n")
    kind = part("values").Value
    original = kind.put

    def die(self: Any, state: str) -> None:
        original(self, state)
        raise KeyboardInterrupt

    kind.put = die
    try:
        with pytest.raises(KeyboardInterrupt):
            apply({"value": str(value), "is": "after"})
    finally:
        kind.put = original
    assert value.read_text() == "after\n"
    assert [entry["before"] for entry in record(tmp_path)] == ["before"]
    apply()
    assert value.read_text() == "before\n"


def test_check_mode_says_it_all_and_does_nothing(apply: Apply, tmp_path: Path) -> None:
    value, file = tmp_path / "value", tmp_path / "file"
    value.write_text("1\n")
    wanted = ({"value": str(value), "is": "2"}, {"file": str(file), "content": "x"})
    would = apply(*wanted, check=True)
    assert len(would.changes) == len(would.differences) == 2
    assert (value.read_text(), file.exists(), record(tmp_path)) == ("1\n", False, [])
    apply(*wanted)
    assert len(apply(check=True).changes) == 2
    assert (value.read_text(), file.exists()) == ("2\n", True)


def test_who_may_use_a_device_is_put_back(apply: Apply, tmp_path: Path) -> None:
    device = tmp_path / "userfaultfd"
    device.touch(mode=0o600)
    group = part("access").grp.getgrgid(os.getegid()).gr_name
    apply({"access": str(device), "group": group, "mode": "0660"})
    assert device.stat().st_mode & 0o777 == 0o660
    apply()
    assert device.stat().st_mode & 0o777 == 0o600


def test_a_thing_of_no_known_kind_is_refused(apply: Apply) -> None:
    with pytest.raises(part("thing").Refused, match="not one thing of a known kind"):
        apply({"fiel": "/etc/x", "content": ""})


def test_a_record_of_a_thing_that_is_gone_is_dropped_and_told(apply: Apply, tmp_path: Path) -> None:
    """An interrupt's number may be another one after a reboot."""
    value = tmp_path / "irq"
    value.write_text("0-3\n")
    apply({"value": str(value), "is": "0"})
    value.unlink()
    done = apply()
    assert (done.changes, done.skipped) == ([], [f"{value} is not there"])
    assert record(tmp_path) == []


def test_shaping_is_told_by_its_words(apply: Apply) -> None:
    """tc prints a queue in other words than it was given: ours is known by a handle that is made of them."""
    kind = part("shaping").Shaping
    tbf = {"shaper": "tbf", "rate": "1gbit", "burst": "1mb", "latency": "50ms", "netem": ""}
    handle = kind("x", tbf).wanted(None)
    assert 0 < int(handle.rstrip(":"), 16) < 0x8000
    assert handle != kind("x", {**tbf, "rate": "2gbit"}).wanted(None)
    assert kind("x", tbf)._commands(handle) == [
        f"qdisc add root handle {handle} tbf rate 1gbit burst 1mb latency 50ms".split()
    ]
    htb = kind("x", {**tbf, "shaper": "htb", "netem": "delay 1ms"})._commands("a:")
    assert htb == [
        ["qdisc", "add", "root", "handle", "a:", "htb", "default", "1"],
        ["class", "add", "parent", "a:", "classid", "a:1", "htb", "rate", "1gbit", "burst", "1mb"],
        ["qdisc", "add", "parent", "a:1", "netem", "delay", "1ms"],
    ]
    with pytest.raises(part("thing").Refused, match="Mend: tc qdisc delete dev x root"):
        kind("x", tbf).wanted("8001:")
