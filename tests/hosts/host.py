"""One host, from outside: where it is, a shell on it, its power and its cables."""

import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.hosts.commands import HostsError, completed
from tests.hosts.control import RackProcess
from tests.hosts.disk import Disk

_SSH_WITHIN_S = 30.0
_COMMAND_WITHIN_S = 60.0
_TRY_S, _PAUSE_S = 0.5, 0.02
_ENVIRONMENT = (
    "HOME=/root",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL=C.UTF-8",
)
# Not from the start: where it may write to /sys, networkd waits for a udev, which a container has not.
_OPEN_SETTINGS = """
set -e
for place in /proc/sys /proc/irq $(awk '$3 == "sysfs" {print $2}' /proc/mounts); do
    mount -o remount,rw "$place"
done
"""


@dataclass
class Host:
    """A Debian host of a session.

    :ivar address: on the management network, where sshd listens.
    :ivar migration_address: that it is to have on the migration network, with its prefix length.
    :ivar kernel: whether it may write this machine's kernel settings, from each boot on.
    :ivar pid: its systemd, as a process of this machine; 0 while it is off.
    """

    name: str
    address: str
    migration_address: str
    disk: Disk
    ssh_options: tuple[str, ...]
    rack: RackProcess = field(repr=False)
    kernel: bool = False
    pid: int = 0

    @property
    def root(self) -> Path:
        """Its tree as seen from here, while it is on. Absolute symlinks in it lead out of it."""
        self._need_power()
        return Path(f"/proc/{self.pid}/root")

    def run(
        self, command: str, *, said: str | None = None, within_s: float = _COMMAND_WITHIN_S
    ) -> "subprocess.CompletedProcess[str]":
        """A shell command on it as root, whatever its network and its sshd are doing. The exit status is the caller's to judge."""
        self._need_power()
        enter = ["nsenter", "--target", str(self.pid), "--all"]
        return completed([*enter, "env", "-i", *_ENVIRONMENT, "sh", "-c", command], said, within_s)

    def ssh(
        self,
        command: str,
        *,
        user: str = "root",
        said: str | None = None,
        within_s: float = _COMMAND_WITHIN_S,
    ) -> "subprocess.CompletedProcess[str]":
        """A shell command on it over SSH; the host's key must be the known one."""
        return completed([*self.ssh_command(user), command], said, within_s)

    def ssh_command(self, user: str = "root") -> list[str]:
        """The command that opens a shell on it."""
        return ["ssh", *self.ssh_options, f"{user}@{self.address}"]

    def kill(self) -> None:
        """Take its power away: everything on it is gone at once, and nobody hears of it."""
        self._need_power()
        self.pid = 0
        self.rack.ask("kill", names=[self.name])

    def boot(self) -> None:
        """Switch it on again, with the disk it had; back when sshd answers."""
        boot([self])

    def cut(self, *, migration: bool = False) -> None:
        """Pull out its management cable, or that of the migration network. Nobody is told."""
        self._need_power()
        self.rack.ask("link", names=[self.name], migration=migration, up=False)

    def join(self, *, migration: bool = False) -> None:
        """Put the cable back."""
        self._need_power()
        self.rack.ask("link", names=[self.name], migration=migration, up=True)

    def wait_for_ssh(self) -> None:
        """Wait until its sshd says that it is one. HostsError when it does not."""
        deadline = time.monotonic() + _SSH_WITHIN_S
        while True:
            try:
                with socket.create_connection((self.address, 22), _TRY_S) as connection:
                    if connection.recv(4) == b"SSH-":
                        return
                    fault = "something else than sshd answers"
            except OSError as error:
                fault = str(error)
            if time.monotonic() > deadline:
                raise HostsError(f"{self.name}: no SSH within {_SSH_WITHIN_S:g} s: {fault}")
            time.sleep(_PAUSE_S)

    def _need_power(self) -> None:
        if self.pid == 0:
            raise HostsError(f"{self.name} is off")


def boot(hosts: list[Host]) -> None:
    """Switch hosts on side by side; back when their sshd answer."""
    pids = hosts[0].rack.ask("boot", names=[host.name for host in hosts])["pids"]
    for host, pid in zip(hosts, pids, strict=True):
        host.pid = pid
        if host.kernel and (failed := host.run(_OPEN_SETTINGS)).returncode != 0:
            raise HostsError(f"{host.name}: kernel settings: {failed.stderr.strip()}")
    for host in hosts:
        host.wait_for_ssh()
