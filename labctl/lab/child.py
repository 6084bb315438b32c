"""A node as a child process of the controller, in a network namespace of its own where asked: the embedded lab's way."""

import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress

from labctl.errors import LabError
from labctl.lab import waits
from labctl.lab.agentfile import agent_file

_LAST_WORDS_BYTES = 2000


class ChildChannel:
    """The agent's stdin and stdout.

    A namespace made by `unshare` has no name: it ends with its last process, and with it its end of the link, so that
    nothing can be left behind however the run ends.
    """

    def __init__(self, run: str, role: str, *, own_network: bool, patience: float = 1.0) -> None:
        command = [*privilege(), *(["unshare", "--net", "--"] if own_network else [])]
        self._closed = False
        # -I: no surprises from the caller's environment; -B: root leaves no bytecode in a user's tree.
        if os.geteuid() != 0:
            command += ["setpriv", "--pdeathsig", "KILL", "--"]
        command += [sys.executable, "-I", "-B", str(agent_file()), run, role, f"{patience:g}"]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the channel
        self._send_lock = threading.Lock()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                # A terminal's Ctrl-C reaches its foreground group: QEMU must not end by it before
                # the controller has decided what becomes of the trial.
                process_group=0,
            )
        except FileNotFoundError as error:
            self._stderr.close()
            raise LabError(
                f"{error.filename} is not installed", mend="labctl lab provision local"
            ) from None

        assert self._process.stdin is not None
        # An agent that hangs must not hang us as soon as the pipe is full.
        os.set_blocking(self._process.stdin.fileno(), False)

    def send(self, line: bytes) -> None:
        """Send one line. OSError when the agent is gone, or takes no more."""
        assert self._process.stdin is not None
        with self._send_lock:
            if self._closed:
                raise BrokenPipeError("the channel is closed")
            _write_all(self._process.stdin.fileno(), line, waits.SEND_S)

    def receive(self) -> bytes:
        """The next line, empty at the end."""
        assert self._process.stdout is not None
        try:
            return self._process.stdout.readline()
        except ValueError:
            return b""

    def close(self, timeout_s: float) -> None:
        """Close the agent's stdin, which ends it, and wait for that."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._send_lock:
            self._closed = True
            with suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            # Only a child of ours, and only after it was asked: its own children die with it.
            self._kill()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                return  # the kernel holds it; to close what a reader waits on would hang us too
        self._process.stdout.close()
        self._stderr.close()

    def _kill(self) -> None:
        try:
            self._process.kill()
        except PermissionError:  # sudo is root's; the agent dies with it
            command = [*privilege(), "kill", "-KILL", str(self._process.pid)]
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(command, capture_output=True, check=False, timeout=waits.SUDO_S)

    def last_words(self) -> str:
        """The end of its stderr."""
        with suppress(OSError, ValueError):
            size = os.fstat(self._stderr.fileno()).st_size
            start = max(0, size - _LAST_WORDS_BYTES)
            return (
                os.pread(self._stderr.fileno(), size - start, start)
                .decode(errors="replace")
                .strip()
            )
        return ""


def _write_all(fd: int, data: bytes, timeout_s: float) -> None:
    writable = select.poll()
    writable.register(fd, select.POLLOUT)
    deadline = time.monotonic() + timeout_s
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:
            if not writable.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError("the agent takes no more requests") from None


def privilege() -> list[str]:
    """What makes a command run as root: nothing for root, sudo without a question otherwise."""
    return [] if os.geteuid() == 0 else ["sudo", "-n", "--"]


def has_privilege() -> bool:
    """Whether this user is root, or becomes it without a question."""
    if os.geteuid() == 0:
        return True
    if shutil.which("sudo") is None:
        return False
    asked = subprocess.run(
        ["sudo", "-n", "true"], capture_output=True, check=False, timeout=waits.SUDO_S
    )
    return asked.returncode == 0


def ask_privilege() -> None:
    """Ask for sudo's password once, before anything is shown. LabError when root cannot be had."""
    if has_privilege():
        return
    mend = "run as root, or as a user who may sudo"
    if shutil.which("sudo") is None:
        raise LabError("network namespaces need root, and there is no sudo", mend=mend)
    if not sys.stdin.isatty():
        raise LabError("network namespaces need root, and sudo wants a password", mend=mend)
    try:
        asked = subprocess.run(["sudo", "-v"], check=False, timeout=waits.SUDO_S)
    except subprocess.TimeoutExpired:
        raise LabError("no password was given to sudo", mend=mend) from None
    if asked.returncode != 0:
        raise LabError("sudo refused", mend=mend)


def caller() -> dict[str, object]:
    """Who runs labctl: the user QEMU may run as and the lock names."""
    uid = int(os.environ.get("SUDO_UID", os.getuid()))
    gid = int(os.environ.get("SUDO_GID", os.getgid()))
    return {
        "uid": uid or None,
        "gid": gid or None,
        "user": os.environ.get("SUDO_USER") or _login(uid),
    }


def _login(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
