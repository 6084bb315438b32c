"""The pristine tree that every host is a copy of: Debian 12 with systemd, sshd, python3 and sudo. Made once, then cached.

One with more packages is a copy of it with those installed. `LABCTL_TEST_HOSTS_CACHE` says where, else the user's cache. A tree
stands under the hash of its recipe and gets that name only when it is whole; the next one that is made removes those of other
recipes that nobody has used for a week.
"""

import fcntl
import hashlib
import inspect
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path

from tests.hosts import sources
from tests.hosts.commands import HostsError, run

VARIABLE = "LABCTL_TEST_HOSTS_CACHE"
USER = "lab"
"""a plain user who may sudo without a password"""
USER_ID = 1000
_PACKAGES = ("systemd-sysv", "dbus", "openssh-server", "python3", "sudo")
_TREE = re.compile(rf"({sources.SUITE}-[0-9a-f]{{12}})(\.new)?")
_WITHIN_S = 600.0
_KEPT_S = 7 * 86400.0
"""branches with different recipes shall not remove each other's trees"""
_DPKG = """\
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
"""
"""as in Debian's images for containers: a quarter of what it takes to install QEMU"""
_NO_SURPRISES = ("apt-daily.timer", "apt-daily-upgrade.timer")
"""units that a host must not have: they would hold apt's lock at a moment of their own choice"""


def cache() -> Path:
    """Where trees are kept."""
    told = os.environ.get(VARIABLE)
    return Path(told) if told else user_cache_path("labctl") / "test-hosts"


@contextmanager
def pristine(packages: Sequence[str] = ()) -> Iterator[Path]:
    """The tree, with more packages where asked; made if need be, and nobody removes it meanwhile."""
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{sources.SUITE}-{_recipe(packages)}"
    with (folder / f"{name}.lock").open("w") as lock:
        os.utime(lock.fileno())
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not (folder / name).exists():
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / name).exists():
                _make(folder, name, packages)
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield folder / name


def _recipe(packages: Sequence[str]) -> str:
    parts = [inspect.getsource(sys.modules[__name__]), inspect.getsource(sources)]
    parts += [*packages, *sources.sources().values(), sources.settings()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _make(folder: Path, name: str, packages: Sequence[str]) -> None:
    for path in folder.iterdir():
        if (named := _TREE.fullmatch(path.name)) and _unused(folder / f"{named[1]}.lock", name):
            shutil.rmtree(path)
    new = folder / f"{name}.new"
    if packages:
        with pristine() as tree:
            _add_packages(tree, new, packages)
    else:
        _bootstrap(new)
    new.rename(folder / name)


def _bootstrap(new: Path) -> None:
    print("making the tree of the test hosts, once: debootstrap, a minute", file=sys.stderr)
    run(
        *("debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}"),
        *(sources.SUITE, str(new), sources.mirror()),
        within_s=_WITHIN_S,
    )
    sources.carry_over(new)
    shutil.copy("/etc/resolv.conf", new / "etc/resolv.conf")
    (new / "etc/dpkg/dpkg.cfg.d/container").write_text(_DPKG)
    # With the lists at hand, apt on a host asks only whether they are the latest.
    _apt_get(new, "update")
    _apt_get(new, "clean")
    _add_user(new)
    _set_up_services(new)


def _add_packages(tree: Path, new: Path, packages: Sequence[str]) -> None:
    print(f"installing in a tree of test hosts, once: {', '.join(packages)}", file=sys.stderr)
    run("cp", "-a", "--reflink=auto", str(tree), str(new), within_s=_WITHIN_S)
    _apt_get(new, "update")
    _apt_get(new, "install", "--yes", "--no-install-recommends", *packages)
    _apt_get(new, "clean")


def _apt_get(tree: Path, *words: str) -> None:
    silent = ("env", "DEBIAN_FRONTEND=noninteractive")
    run("chroot", str(tree), *silent, "apt-get", "--quiet", *words, within_s=_WITHIN_S)


def _unused(lock: Path, making: str) -> bool:
    """Whether the tree of that lock may go; ours, which a session that died left half made, may."""
    if lock.stem == making:
        return True
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return time.time() - os.fstat(file.fileno()).st_mtime > _KEPT_S


def _add_user(tree: Path) -> None:
    run("chroot", str(tree), "useradd", "--create-home", "--uid", str(USER_ID), "--shell", "/bin/bash", USER)  # fmt: skip
    rule = tree / "etc/sudoers.d" / USER
    rule.write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    rule.chmod(0o440)


def _set_up_services(tree: Path) -> None:
    units = tree / "etc/systemd/system"
    for unit in _NO_SURPRISES:
        (units / unit).symlink_to("/dev/null")
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    # Not `systemctl enable`: that would also wait at boot for networks that nobody has configured.
    (wants / "systemd-networkd.service").symlink_to("/lib/systemd/system/systemd-networkd.service")
    # Each host gets its own.
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for name in ("etc/machine-id", "etc/hostname"):
        (tree / name).unlink(missing_ok=True)
    if not (tree / "usr/sbin/sshd").exists():
        raise HostsError(f"{tree}: debootstrap said it was done, and there is no sshd")
