"""Writing files so that a reader sees all of one or nothing, and a full disk is told in a sentence."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labctl.errors import LabctlError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Tell a failure to write below `place` as a fault with its mend.

    Raises:
        LabctlError: in the place of an OSError.
    """
    try:
        yield
    except OSError as error:
        said = error.strerror or str(error)
        if error.errno in _FULL:
            mend = "free some space, then take the run up again with `labctl run --resume`"
        elif error.errno in _REFUSED:
            mend = "choose a place you may write to with --out"
        else:
            mend = None
        where = str(error.filename or place)
        raise LabctlError(f"cannot be written: {said}", place=where, mend=mend) from error


def write_durably(path: Path, data: bytes) -> None:
    """Write a new file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    give_to_caller(path)


def replace_file(path: Path, data: bytes) -> None:
    """Write `path` anew: whoever reads it sees the old text or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        write_durably(beside, data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder and what is missing above it."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        give_to_caller(folder)


def sync_folder(path: Path) -> None:
    """Wait until the disk has the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give_to_caller(path: Path) -> None:
    """Under sudo, hand a file that was just made to the user who called sudo."""
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and uid.isdecimal() and gid.isdecimal():
        os.chown(path, int(uid), int(gid), follow_symlinks=False)
