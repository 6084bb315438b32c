"""A host of a lab, reached for one run: connected to, found fit, given the agent, and spoken to through nodes on it."""

import getpass
import json
import shlex
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from labctl.errors import LabError, WaitTimeout
from labctl.lab import waits
from labctl.lab.agentfile import agent_file
from labctl.lab.inventory import LabSpec
from labctl.lab.node import Node
from labctl.lab.ssh.channel import Done, SshChannel, execute
from labctl.lab.ssh.connecting import connect, hang_up, transport_of
from labctl.lab.ssh.route import route_to

if TYPE_CHECKING:
    from fabric import Connection

OLDEST_PYTHON: Final = (3, 9)
# Both run on whatever Python a host has, however old.
_GREETING = """
import json, os, sys
cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "labctl", "agent")
print(json.dumps({"python": sys.version_info[:3], "uid": os.getuid(), "cache": cache,
    "has_agent": os.path.exists(os.path.join(cache, sys.argv[1])), "ssh": os.environ.get("SSH_CONNECTION", "")}))
"""
_TAKING = """
import os, sys, tempfile
folder, name = sys.argv[1:3]
data = sys.stdin.buffer.read()
if len(data) != int(sys.argv[3]):
    sys.exit("only %d bytes of it arrived" % len(data))
try:
    os.makedirs(folder, exist_ok=True)
    handle, made = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(made, 0o644)
        os.rename(made, os.path.join(folder, name))
    except BaseException:
        os.unlink(made)
        raise
except OSError as error:
    sys.exit("%s: %s" % (folder, error.strerror))
"""


class Sudo:
    """The password that sudo wants, asked of a person at most once a run: the same on every host, as Ansible has it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._password: str | None = None

    def password(self, host: str, variables: Mapping[str, Any]) -> str:
        """Of a host: from its inventory, or a person. LabError when there is neither."""
        for name in ("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"):
            if name in variables:
                return str(variables[name])
        with self._lock:
            if self._password is None:
                if not sys.stdin.isatty():
                    raise LabError(
                        "sudo wants a password there",
                        place=host,
                        mend="let this user sudo without one, or set ansible_become_password (in a vault)",
                    )
                self._password = getpass.getpass("sudo's password on the lab's hosts: ")
            return self._password


class RemoteHost:
    """One host. Use `open` first; `close` may come at any moment, and again."""

    def __init__(self, name: str, lab: LabSpec, run: str, sudo: Sudo) -> None:
        self.name = name
        self._patience = lab.patience
        self.variables = lab.of(name)
        self.management = ""
        """the address by which SSH reached it"""
        self.sent_bytes = 0
        """of the agent, when it had to be sent"""
        self._run = run
        self._sudo = sudo
        self._connection: Connection | None = None
        self._agent: list[str] = []
        self._first = b""

    def open(self) -> None:
        """Connect; LabError names what the host lacks, with the mend."""
        self._connection = connect(route_to(self.name, self.variables), self._patience)
        python = str(self.variables.get("ansible_python_interpreter", "auto"))
        python = "python3" if python.startswith("auto") else python
        greeting = self._greet(python)
        privilege = self._privilege() if greeting["uid"] else []
        cached = f"{greeting['cache']}/{agent_file().name}"
        if not greeting["has_agent"]:
            self._put_agent(python, greeting["cache"])
        self._agent = [*privilege, python, "-I", "-B", cached]
        # client address, client port, own address, own port
        self.management = greeting["ssh"].split()[2] if greeting["ssh"] else ""

    def start(self, role: str) -> Node:
        """An agent on it, as a node. LabError when it cannot be started."""
        waiting = [f"{self._patience:g}", f"{waits.SILENCE_S:g}"]
        command = shlex.join([*self._agent, self._run, role, *waiting])
        transport = transport_of(self._open)
        try:
            channel = SshChannel(transport, command, self._first, patience=self._patience)
        except OSError as error:
            raise self._fault(f"the agent cannot be started: {error}") from None
        name = self.name if role == "host" else f"{self.name} ({role})"
        return Node(name, channel, self._patience)

    def close(self) -> None:
        """Hang up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            hang_up(connection)

    @property
    def _open(self) -> "Connection":
        if self._connection is None:
            raise self._fault("it is not connected")
        return self._connection

    def _greet(self, python: str) -> dict[str, Any]:
        """What its Python says of the host."""
        done = self._execute([python, "-c", _GREETING, agent_file().name])
        name_it = "name another: ansible_python_interpreter"
        if done.status == 127:
            raise self._fault(f"{python} is not there", f"apt install python3, or {name_it}")
        try:
            greeting: dict[str, Any] = json.loads(done.output.splitlines()[-1])
        except (ValueError, IndexError):
            said = done.complaint or done.output.strip() or f"status {done.status}"
            raise self._fault(f"{python} does not answer: {said}", name_it) from None
        found = tuple(greeting["python"])
        if found < OLDEST_PYTHON:
            raise self._fault(
                f"{python} is Python {'.'.join(map(str, found))}; the agent needs "
                f"{'.'.join(map(str, OLDEST_PYTHON))} or newer",
                f"install a newer one beside it, and {name_it}",
            )
        return greeting

    def _privilege(self) -> list[str]:
        """What makes a command run as root there; the password it takes first is kept."""
        asked = self._execute(["sudo", "-n", "true"])
        if asked.status == 0:
            return ["sudo", "-n", "--"]
        if asked.status == 127:
            raise self._fault("there is no sudo", "install sudo, or let SSH in as root")
        if "password" not in asked.complaint:
            raise self._fault(
                f"sudo refuses: {asked.complaint}", "let this user sudo, or let SSH in as root"
            )
        password = self._sudo.password(self.name, self.variables).encode() + b"\n"
        # -k: always asked, so that the password is never left for the agent to read.
        command = ["sudo", "-k", "-S", "-p", "", "--"]
        tried = self._execute([*command, "true"], password)
        if tried.status != 0:
            raise self._fault(f"sudo refuses the password: {tried.complaint}")
        self._first = password
        return command

    def _put_agent(self, python: str, folder: str) -> None:
        data = agent_file().read_bytes()
        command = [python, "-c", _TAKING, folder, agent_file().name, str(len(data))]
        done = self._execute(command, data)
        if done.status != 0:
            raise self._fault(
                f"the agent cannot be written there: {done.complaint}",
                f"make room in {folder}, and let its user write there",
            )
        self.sent_bytes += len(data)

    def _execute(self, command: list[str], data: bytes = b"") -> Done:
        transport, said = transport_of(self._open), shlex.join(command)
        timeout_s, wait = waits.BOOTSTRAP_S * self._patience, f"`{command[0]}` there"
        try:
            return execute(transport, said, data, timeout_s=timeout_s, wait=wait)
        except WaitTimeout as error:
            raise self._fault(error.fault) from None
        except OSError as error:
            raise self._fault(f"the connection was lost: {error}") from None

    def _fault(self, fault: str, mend: str | None = None) -> LabError:
        return LabError(fault, place=self.name, mend=mend)
