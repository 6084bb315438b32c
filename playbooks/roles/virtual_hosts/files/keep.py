"""The hosts of a virtual lab: virtual machines on this machine, in a network namespace of their own.

    keep.py up SPEC      start them, unless they run
    keep.py wait STATE SECONDS    wait until SSH answers on each
    keep.py down STATE   end them; nothing is an error where nothing runs

Two bridges in that namespace join them: `management`, which a veth pair leads to from outside, and `migration`. Nothing is
forwarded: they reach each other and this machine, and are reached from here alone. Each verb prints JSON.

SPEC is a JSON file: ``name``, ``state`` (a folder under /run/labctl), ``folder`` (for logs and snapshots), ``image`` (a folder
with ``disk.ext4 kernel initrd``), ``qemu``, ``accelerator``, ``authorized_key``, ``hosts`` (each ``name memory_mib cpus``).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from keeper import LOG, Keeper, digest
from processes import Fault, become_daemon, is_alive

END_S = 20.0
"""the machines end"""
SPEC = "spec"
"""in the folder of the state: what the keeper was told"""
_LOOK_S = 0.1
_CONNECT_S = 1.0
_SSH = 22
_LAST_LINES = 5
State = dict[str, Any]


def main(arguments: list[str]) -> int:
    """See the module's docstring."""
    os.environ["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    verb, path, *more = arguments
    try:
        if verb == "up":
            said = up(json.loads(Path(path).read_text()))
        elif verb == "keep":
            return keep(json.loads(Path(path).read_text()), int(more[0]))
        elif verb == "wait":
            said = wait(Path(path), float(more[0]))
        else:
            said = {"changed": down(Path(path))}
    except (Fault, OSError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(said))
    return 0


def up(spec: State) -> State:
    """Start the keeper, unless it runs with just this spec and all its machines; ``changed`` says whether it was started."""
    directory = Path(spec["state"])
    state = running(directory)
    if state is not None and not state["ended"]:
        if state["spec_sha256"] != digest(spec):
            raise Fault("it runs, with other settings")
        return {**state, "changed": False}
    down(directory)
    directory.mkdir(parents=True)
    heard, tells = os.pipe()
    (directory / SPEC).write_text(json.dumps(spec))
    # With an environment of its own: what is started by Ansible carries its marks, and goes with it.
    subprocess.Popen(
        [sys.executable, "-B", __file__, "keep", str(directory / SPEC), str(tells)],
        pass_fds=[tells],
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
    )
    os.close(tells)
    with os.fdopen(heard) as told:
        said = told.read()
    state = running(directory)
    if said or state is None:
        down(directory)
        raise Fault(said or f"the keeper died; see {spec['folder']}/{LOG}")
    return {**state, "changed": True}


def keep(spec: State, tells: int) -> int:
    """Be the keeper, a daemon; `tells` is closed when all is started."""
    become_daemon(Path(spec["folder"]) / LOG, tells)
    return Keeper(spec, Path(spec["state"]), tells).run()


def running(directory: Path) -> State | None:
    """What the keeper has said of itself, when it runs."""
    try:
        state: State = json.loads((directory / "keeper.json").read_text())
    except (OSError, ValueError):
        return None
    return state if is_alive(state["pids"][0]) else None


def wait(directory: Path, seconds: float) -> State:
    """Until SSH answers on every host. Fault at once when one has ended."""
    until = time.monotonic() + seconds
    mute: list[str] = []
    while True:
        state = running(directory)
        if state is None:
            raise Fault("the keeper has ended")
        if state["ended"]:
            said = Path(state["log"]).read_text(errors="replace").splitlines()[-_LAST_LINES:]
            raise Fault(f"{' and '.join(state['ended'])} ended: {'; '.join(said)}")
        mute = [host["name"] for host in state["hosts"] if not _greets(host["address"])]
        if not mute:
            return {"changed": False}
        if time.monotonic() > until:
            raise Fault(f"SSH does not answer within {seconds:g} s on {', '.join(mute)}")
        time.sleep(_LOOK_S)


def _greets(address: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, _SSH), _CONNECT_S) as ssh:
        ssh.settimeout(_CONNECT_S)
        return ssh.recv(16).startswith(b"SSH-")
    return False


def down(directory: Path) -> bool:
    """End the keeper, and what it has left; whether there was anything."""
    if not directory.exists():
        return False
    try:
        pids = json.loads((directory / "keeper.json").read_text())["pids"]
    except (OSError, ValueError):
        pids = []
    # The keeper ends what it keeps; what then is left, it could not.
    for sign, whom in ((signal.SIGTERM, pids[:1]), (signal.SIGKILL, pids)):
        for entry in whom:
            if is_alive(entry):
                os.kill(entry["pid"], sign)
        until = time.monotonic() + END_S
        while any(is_alive(entry) for entry in whom) and time.monotonic() < until:
            time.sleep(_LOOK_S)
    left = [entry["what"] for entry in pids if is_alive(entry)]
    if left:
        raise Fault(f"still there after {END_S:g} s: {', '.join(left)}")
    shutil.rmtree(directory)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
