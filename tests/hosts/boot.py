"""The boot of one host: systemd as the first process of a container with its own network, and its sudden end.

The command is a chain in which each link dies with the one before it: a process namespace whose first process is the
container's manager, so that whatever ends that ends the whole host, and a mount namespace that keeps the host's disk to itself.
"""

import os
import select
import shlex
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from labctl.node import procfs
from labctl.node.command_line import dying_with_us
from tests.hosts import cgroups
from tests.hosts.commands import HostsError
from tests.hosts.disk import Disk
from tests.hosts.numbers import MANAGEMENT, MIGRATION, Number

_DEVICES = ("/dev/net/tun", "/dev/kvm")
_CALLS = "userfaultfd bpf perf_event_open keyctl add_key"
"""system calls that a container is refused otherwise, and that QEMU and systemd make on a real host"""
_BOOTED_WITHIN_S, _DEAD_WITHIN_S = 60.0, 10.0


class Boot:
    """A host that has been switched on.

    :ivar leader: its systemd, as a process of this machine.
    """

    def __init__(self, number: Number, index: int, name: str, disk: Disk) -> None:
        self.name = name
        self.leader = 0
        self._machine = number.machine(name)
        self._log = disk.folder / "console.log"
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._told.bind(f"\0{self._machine}")
        script = [
            "set -e",
            "mount -t tmpfs tmpfs /run",  # nspawn keeps files of its own there
            *map(shlex.join, disk.mounts),
            *(f"echo 0 >{shlex.quote(f'{g}/cgroup.procs')}" for g in cgroups.make(self._machine)),
            f"exec {shlex.join(_nspawn(number, index, self._machine, disk.root))}",
        ]
        of_its_own = ("unshare", "--pid", "--mount-proc", "--fork", "--kill-child=KILL")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*dying_with_us(), *of_its_own, "sh", "-c", "\n".join(script)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": f"@{self._machine}"},
            )

    @property
    def alive(self) -> bool:
        """Whether it is on still."""
        return self._process.poll() is None and procfs.start_time(self.leader) != 0

    def wait_for_leader(self) -> None:
        """Wait until it has its first process, and its cables their ends here."""
        self._wait_for(b"X_NSPAWN_LEADER_PID=")
        try:
            (manager,) = _children(self._process.pid)
            (self.leader,) = _children(manager)
        except (OSError, ValueError):
            raise self.ended() from None

    def wait_until_booted(self) -> None:
        """Wait until its systemd says that everything has started."""
        self._wait_for(b"READY=1")

    def kill(self) -> None:
        """End all of it at once."""
        with suppress(OSError, IndexError):  # it may end by itself meanwhile
            os.kill(_children(self._process.pid)[0], signal.SIGKILL)
        try:
            self._process.wait(_DEAD_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_DEAD_WITHIN_S)
        self._told.close()
        cgroups.remove(self._machine)

    def ended(self) -> HostsError:
        """The error that says that it is off, and what it said at last."""
        return HostsError(f"{self.name}: its boot ended: {self._said()}")

    def _wait_for(self, word: bytes) -> None:
        deadline = time.monotonic() + _BOOTED_WITHIN_S
        ended = os.pidfd_open(self._process.pid)
        try:
            while (left := deadline - time.monotonic()) > 0:
                ready, _, _ = select.select([self._told.fileno(), ended], [], [], left)
                if self._told.fileno() in ready:
                    if any(line.startswith(word) for line in self._told.recv(4096).splitlines()):
                        return
                elif ready:
                    raise self.ended()
        finally:
            os.close(ended)
        raise HostsError(f"{self.name}: not up within {_BOOTED_WITHIN_S:g} s: {self._said()}")

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-2000:].strip() or "nothing was said"


def _nspawn(number: Number, index: int, machine: str, root: Path) -> list[str]:
    devices = [device for device in _DEVICES if Path(device).exists()]
    return [
        *("systemd-nspawn", "--quiet", "--boot", f"--directory={root}", f"--machine={machine}"),
        *("--register=no", "--keep-unit", "--notify-ready=yes", "--console=pipe"),
        *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
        f"--network-veth-extra={number.cable(index)}:{MANAGEMENT}",
        f"--network-veth-extra={number.migration_cable(index)}:{MIGRATION}",
        *("--capability=all", f"--system-call-filter={_CALLS}"),
        *(f"--bind={device}" for device in devices),
        *(["--bind-ro=/dev/userfaultfd"] if Path("/dev/userfaultfd").exists() else []),
    ]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
