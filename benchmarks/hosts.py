"""Hosts for measurements of labs over SSH: Debian ones, booted as containers (`tests/hosts`), and what of them is seen from here."""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.claim import NotMeasured
from labctl.lab import Node
from labctl.provision import provision
from tests.hosts import Host, Hosts, HostsError, debian_hosts, missing_hosts

PAIR = ("h1", "h2")
SSH_PORT = 22
_QUESTION_S = 10.0


@dataclass(frozen=True)
class Provisioned:
    """How long it took, and how many tasks changed something on a host."""

    seconds: float
    changes: int


@contextmanager
def empty_hosts(names: Sequence[str]) -> Iterator[Hosts]:
    """Hosts with sshd, python3 and sudo and nothing else, up; gone at the end. NotMeasured where none can be made."""
    if lacking := missing_hosts():
        raise NotMeasured(lacking)
    with tempfile.TemporaryDirectory(prefix="labctl-benchmarks-") as folder:
        try:
            with debian_hosts(names, Path(folder) / "hosts") as hosts:
                yield hosts
        except HostsError as fault:
            raise NotMeasured(str(fault)) from None


@contextmanager
def provisioned_hosts(names: Sequence[str]) -> Iterator[Hosts]:
    """The same, ready for trials. ProvisionError."""
    with empty_hosts(names) as hosts:
        provision_all(hosts)
        yield hosts


def provision_all(hosts: Hosts) -> Provisioned:
    """Provision all hosts side by side, as `labctl lab provision` does. ProvisionError."""
    started = time.monotonic()
    result = provision(str(hosts.inventory))
    return Provisioned(time.monotonic() - started, len(result.changed))


def process_here(host: Host, node: Node) -> int:
    """The pid, on this machine, of a node's agent on a host, which knows itself by another one. NotMeasured."""
    inside = Path(f"/proc/{host.pid}/ns/pid").readlink()
    wanted = str(node.hello["pid"])
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if (process / "ns/pid").readlink() != inside:
                continue
            # From the namespace of whoever reads to the process's own: pid_namespaces(7).
            said = re.search(r"^NSpid:\s(.+)$", (process / "status").read_text(), re.MULTILINE)
            if said and said[1].split()[-1] == wanted:
                return int(process.name)
    raise NotMeasured(f"{host.name} has no process {wanted}")


def connection_bytes(host: Host) -> tuple[int, int]:
    """What this process has sent to a host over its SSH connection, and received: by the kernel's count, encrypted, without the
    headers of TCP. NotMeasured when it has not just one.
    """
    ways = f"dst {host.address} dport = :{SSH_PORT}"
    command = ["ss", "--tcp", "--info", "--processes", "--no-header", "--oneline", "--numeric"]
    try:
        done = subprocess.run(
            [*command, *ways.split()],
            capture_output=True,
            text=True,
            timeout=_QUESTION_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as fault:
        raise NotMeasured(f"ss does not tell of connections: {fault}") from None
    return bytes_of(done.stdout, os.getpid())


def bytes_of(said: str, pid: int) -> tuple[int, int]:
    """What `ss` said of the one connection that a process has: bytes sent and received. NotMeasured."""
    ours = [line for line in said.splitlines() if f"pid={pid}," in line]
    if len(ours) != 1:
        raise NotMeasured(f"{len(ours)} connections to a host, where one was expected")
    sent, received = (
        re.search(rf"\b{what}:(\d+)", ours[0]) for what in ("bytes_sent", "bytes_received")
    )
    if sent is None or received is None:
        raise NotMeasured(f"ss tells no bytes: {ours[0]}")
    return int(sent[1]), int(received[1])
