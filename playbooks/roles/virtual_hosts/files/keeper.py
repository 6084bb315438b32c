"""The keeper of a virtual lab: the process below which its namespace and its machines stand.

The kernel kills each of them when this process dies, however it dies. A disk is a snapshot whose file is unlinked as it is
made, and the namespace has no name: nothing can be left but a folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import seed
from network import BRIDGES, Network, in_another
from processes import Fault, entry

START_S = 30.0
"""the namespace is there"""
FIRST_HOST = 11
LOG = "keeper.log"
"""what the keeper and the machines' QEMUs say"""
EMULATED = "max,la57=off"
"""a CPU with all that QEMU can emulate, but page tables of five levels: under them guests of older versions crash now and then"""
_LOOK_S = 0.05
Spec = dict[str, Any]
State = dict[str, Any]


class Keeper:
    """Everything of one lab. `tells`: a pipe to whoever waits for the start."""

    def __init__(self, spec: Spec, directory: Path, tells: int) -> None:
        self._spec = spec
        self._directory = directory
        self._tells = tells
        self._children: dict[int, str] = {}
        self._network: Network | None = None
        # One that nobody holds would be waited for by the next that is started, and its end not be seen here.
        self._held: list[subprocess.Popen[bytes]] = []
        self._state: State = {
            "spec_sha256": digest(spec),
            "pids": [],
            "interfaces": [],
            "log": f"{spec['folder']}/{LOG}",
            "ended": {},
            "hosts": [],
        }

    def run(self) -> int:
        """Until told to end; the exit status."""
        for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(sign, _end)
        try:
            with _alone(self._directory):
                self._start()
            os.close(self._tells)
            self._watch()
        except _Ended:
            pass
        except (Fault, OSError, subprocess.SubprocessError) as error:
            with contextlib.suppress(OSError):
                os.write(self._tells, str(error).encode())
            return 1
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if self._network is not None:
                self._network.cut()
            for pid in self._children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            while self._children:
                self._children.pop(os.wait()[0], None)
        return 0

    def _start(self) -> None:
        holder = self._child("namespace", ["unshare", "--net", "sleep", "infinity"])
        until = time.monotonic() + START_S
        while not in_another(holder):
            if time.monotonic() > until or os.waitpid(holder, os.WNOHANG)[0]:
                raise Fault("no network namespace could be made")
            time.sleep(_LOOK_S)
        self._network = Network(holder)
        for at, host in enumerate(self._spec["hosts"], FIRST_HOST):
            self._start_host(self._network, at, host)
        self._tell()

    def _start_host(self, network: Network, at: int, host: Spec) -> None:
        told = {
            "name": host["name"],
            "address": network.management(at),
            "migration_address": network.migration(at),
            "migration_interface": seed.MIGRATION,
        }
        macs = {bridge: network.mac(bridge, at) for bridge in BRIDGES}
        packed = self._directory / f"{host['name']}.seed"
        told["host_key"] = seed.pack(packed, told, macs, self._spec["authorized_key"])
        nets: list[str] = []
        for bridge in BRIDGES:
            tap = network.tap(bridge, at)
            nets += ["-netdev", f"tap,id={bridge},ifname={tap},script=no,downscript=no"]
            nets += ["-device", f"virtio-net-pci,netdev={bridge},mac={macs[bridge]}"]
        self._child(
            host["name"],
            [
                *network.inside,
                *self._qemu(host),
                "-fw_cfg",
                f"name={seed.NAME},file={packed}",
                *nets,
            ],
        )
        self._state["hosts"].append(told)

    def _qemu(self, host: Spec) -> list[str]:
        """A machine's command line, but for its network and who it is."""
        spec, image = self._spec, self._spec["image"]
        tcg = spec["accelerator"] == "tcg"
        return [
            spec["qemu"], "-name", f"labctl-{spec['name']}-{host['name']}", "-nodefaults", "-no-user-config",
            "-display", "none", "-machine", "q35", "-accel", "tcg,thread=multi" if tcg else spec["accelerator"],
            "-cpu", EMULATED if tcg else "host", "-smp", str(host["cpus"]), "-m", f"{host['memory_mib']}M",
            "-kernel", f"{image}/kernel", "-initrd", f"{image}/initrd",
            "-append", "root=/dev/vda console=ttyS0 quiet net.ifnames=0 mitigations=off panic=5",
            "-serial", f"file:{spec['folder']}/{host['name']}.console",
            "-drive", f"file={image}/disk.ext4,format=raw,if=virtio,snapshot=on",
            "-device", "virtio-rng-pci",
            "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        ]  # fmt: skip

    def _child(self, what: str, command: list[str]) -> int:
        """A process that the kernel kills when this one dies."""
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "TMPDIR": self._spec["folder"]},  # of snapshots
        )
        self._held.append(child)
        self._children[child.pid] = what
        self._tell()
        return child.pid

    def _watch(self) -> None:
        """Note what ends by itself; for ever."""
        while True:
            pid, status = os.wait()
            what = self._children.pop(pid, "")
            if what:
                print(f"{what} ended: {status}", flush=True)
                self._state["ended"][what] = status
                self._tell()

    def _tell(self) -> None:
        pids = [entry(os.getpid(), "agent")]
        self._state["pids"] = pids + [entry(pid, what) for pid, what in self._children.items()]
        new = self._directory / "keeper.new"
        new.write_text(json.dumps(self._state))
        new.replace(self._directory / "keeper.json")


class _Ended(BaseException):
    """Told to end."""


def _end(_sign: int, _frame: object) -> None:
    raise _Ended


def digest(spec: Spec) -> str:
    """Tells one spec from another."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Two labs that come up at once shall not take the same network."""
    with (directory.parent / "labs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
