"""Named pipes between the processes of one host: how a guest's beats reach who stamps them.

A pipe crosses network namespaces, and joins the single bytes that a guest's port gives into one page. A Unix socket keeps
each in a buffer of its own: taking 29 of them cost as much as the waking, and nine beats filled it, so that an observer
which was late for 5 ms stopped the guest. A pipe holds 64 KiB: a second of beats.
"""

from __future__ import annotations

import contextlib
import os


def make(path: str) -> int:
    """A named pipe at `path`, for this user alone, and its end to read from; one that a dead process left is replaced.

    The end never blocks, and never sees an end of file: it is open for writing too.

    :raise OSError: when it cannot be made.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def open_to_write(path: str) -> int:
    """The end to write to of the pipe at `path`.

    :raise OSError: when nobody reads from it.
    """
    return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
