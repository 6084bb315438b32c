"""A bare script that migrates a machine with QMP alone: what labctl's total time is held against.

`python -m benchmarks.bare` reads one job (JSON) from stdin, migrates once, writes what QEMU said to stdout and ends both QEMUs. It
samples nothing and asks QEMU nothing between `migrate` and the event that says it is over. Of labctl it uses the beat parser, and
only to know when the guest has filled its memory: from then on a thread throws the beats away ten times a second, out of
pipes that hold a second of them, so that the guest never waits for it.

A job: `{"ends": {SIDE: {"argv": [...], "namespace_pid": PID}}, "caller": {"uid": UID, "gid": GID}, "capabilities": {...},
"parameters": {...}, "start": [COMMAND...], "address": ADDRESS, "work_s": SECONDS, "limit_s": SECONDS}`. `argv` is a command line of
labctl's own for the same machine; its file descriptors are replaced. Each QEMU runs in the network namespace of a process and as the
user that labctl's do.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from typing import Any

from labctl.node.beats import PHASE_RUN, Beat, BeatParser
from labctl.node.command_line import run_as

SIDES = ("source", "destination")
QMP_S = 15.0
FILL_S = 60.0
_DRAIN_S = 0.1
_READ_BYTES = 1 << 20


class Qemu:
    """One QEMU: its monitor, and its beats."""

    def __init__(self, end: dict[str, Any], caller: dict[str, int]) -> None:
        self._sockets: dict[str, socket.socket] = {}
        theirs: dict[str, int] = {}
        for name in ("qmp", "samples", "commands"):
            self._sockets[name], inherited = socket.socketpair()
            theirs[name] = inherited.detach()
        self.beats, theirs["beats"] = os.pipe()
        argv = [with_fd(word, theirs) for word in end["argv"]]
        enter = ["nsenter", f"--net=/proc/{end['namespace_pid']}/ns/net", "--"]
        # Made here, not by whom the job is of: the prefix names the process that QEMU dies with.
        prefix, _user = run_as(caller.get("uid"), caller.get("gid"))
        self.process = subprocess.Popen(
            [*enter, *prefix, *argv],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            pass_fds=list(theirs.values()),
        )
        for handle in theirs.values():
            os.close(handle)
        self._qmp = self._sockets["qmp"]
        self._lines = self._qmp.makefile("r", encoding="utf-8")
        self._events: list[dict[str, Any]] = []
        self._qmp.settimeout(QMP_S)
        self._message()  # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """A command's answer. RuntimeError when it is refused."""
        request = {"execute": command, "arguments": arguments}
        self._qmp.sendall(json.dumps(request).encode())
        while True:
            message = self._message()
            if "event" in message:
                self._events.append(message)
            elif "error" in message:
                raise RuntimeError(f"{command}: {message['error']['desc']}")
            else:
                return message["return"]

    def ending(self, limit_s: float) -> str:
        """The status that ends the migration, waited for."""
        self._qmp.settimeout(limit_s)
        while True:
            message = self._events.pop(0) if self._events else self._message()
            status = message.get("data", {}).get("status")
            if message.get("event") == "MIGRATION" and status in ("completed", "failed"):
                return str(status)

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(QMP_S)

    def _message(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise RuntimeError("QEMU has ended")
        message: dict[str, Any] = json.loads(line)
        return message


def with_fd(word: str, handles: dict[str, int]) -> str:
    """`socket,id=qmp,fd=7`, and the beats' `fd=7,set=1`, with a descriptor of ours."""
    if named := re.fullmatch(r"(socket,id=(qmp|samples|commands),fd=)\d+", word):
        return f"{named[1]}{handles[named[2]]}"
    if added := re.fullmatch(r"fd=\d+(,set=\d+)", word):
        return f"fd={handles['beats']}{added[1]}"
    return word


def migrate(job: dict[str, Any]) -> dict[str, Any]:
    """Migrate once: QEMU's own times, and ours from `migrate` to the event that ends it."""
    with contextlib.ExitStack() as ending:
        ends = {}
        for side in SIDES:
            ends[side] = Qemu(job["ends"][side], job["caller"])
            ending.callback(ends[side].end)
        source, destination = ends["source"], ends["destination"]
        _wait_until_filled(source.beats)
        over = threading.Event()
        drain = threading.Thread(
            target=_drain, args=([end.beats for end in ends.values()], over), daemon=True
        )
        drain.start()
        ending.callback(over.set)
        time.sleep(job["work_s"])
        states = [{"capability": name, "state": on} for name, on in job["capabilities"].items()]
        for end in ends.values():
            end.execute("migrate-set-capabilities", capabilities=states)
            end.execute("migrate-set-parameters", **job["parameters"])
        destination.execute("migrate-incoming", uri=f"tcp:{job['address']}:0")
        listening = destination.execute("query-migrate")["socket-address"][0]["port"]
        started = time.monotonic()
        for command in job["start"]:
            arguments = dict(command.get("arguments", {}))
            if "uri" in arguments:
                arguments["uri"] = f"tcp:{job['address']}:{listening}"
            source.execute(command["execute"], **arguments)
        status = source.ending(job["limit_s"])
        wall_s = time.monotonic() - started
        # QEMU 7.2 reckons its total time after it has said that it is over.
        while not (said := source.execute("query-migrate")).get("total-time"):
            if time.monotonic() > started + job["limit_s"]:
                raise RuntimeError("QEMU did not tell its total time")
            time.sleep(_DRAIN_S)
        return {
            "status": status,
            "total_time_ms": said.get("total-time"),
            "downtime_ms": said.get("downtime"),
            "ram_bytes": said.get("ram", {}).get("transferred"),
            "wall_ms": wall_s * 1000,
        }


def _wait_until_filled(beats: int) -> None:
    parser = BeatParser()
    deadline = time.monotonic() + FILL_S
    while time.monotonic() < deadline:
        time.sleep(_DRAIN_S)
        for record in parser.feed(os.read(beats, _READ_BYTES)):
            if isinstance(record, Beat) and record.phase == PHASE_RUN:
                return
    raise RuntimeError(f"the guest has not filled its memory within {FILL_S:g} s")


def _drain(beats: list[int], over: threading.Event) -> None:
    for one in beats:
        os.set_blocking(one, False)
    while not over.wait(_DRAIN_S):
        for one in beats:
            with contextlib.suppress(BlockingIOError):
                os.read(one, _READ_BYTES)


if __name__ == "__main__":
    print(json.dumps(migrate(json.loads(sys.stdin.readline()))))
