"""Unix sockets by paths of any length: the kernel takes 107 bytes, and a run's name alone may have 80."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator


def listen(path: str) -> socket.socket:
    """A socket that listens at `path`, for this user alone; one that a dead process left there is replaced.

    :raise OSError: when it cannot be made.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with _short(path) as short:
            listener.bind(short)
        os.chmod(path, 0o600)
        listener.listen(1)
    except BaseException:
        listener.close()
        raise
    return listener


def connect(connection: socket.socket, path: str) -> None:
    """Connect to the socket at `path`.

    :raise OSError: when nobody listens there.
    """
    with _short(path) as short:
        connection.connect(short)


@contextlib.contextmanager
def _short(path: str) -> Iterator[str]:
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{os.path.basename(path)}"
    finally:
        os.close(folder)
