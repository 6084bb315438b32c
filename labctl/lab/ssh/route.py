"""How a host is reached over SSH: what OpenSSH would do, as OpenSSH itself says it.

`ssh -G` reads ~/.ssh/config with its Include and Match, and the options that an inventory gives to Ansible, and prints what
would be used. So labctl and Ansible go the same way, and no second reading of those files can differ.
"""

import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from labctl.errors import InputError, LabError
from labctl.lab import waits

Strictness = Literal["yes", "accept-new", "no"]
_ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
_NO = {"no", "false", "off", "0"}


@dataclass(frozen=True)
class Route:
    """The way to one host."""

    host: str
    """as the inventory calls it"""
    address: str
    port: int
    user: str
    keys: tuple[Path, ...]
    """private keys that exist"""
    known_hosts: tuple[Path, ...]
    """files of host keys that exist"""
    key_name: str | None
    """the name the host's key is filed under, when it is not its address (HostKeyAlias)"""
    strictness: Strictness
    """what becomes of a host key that is not known"""
    jump: "Route | None"
    """the host before it on the way"""
    proxy_command: str | None
    password: str | None

    @property
    def command(self) -> str:
        """What a person types to go there."""
        return shlex.join(["ssh", "-p", str(self.port), f"{self.user}@{self.address}"])


def route_to(host: str, variables: Mapping[str, Any]) -> Route:
    """The way to a host of an inventory.

    Raises InputError when its variables make no sense to ssh, LabError when there is no ssh.
    """
    options = [
        option for name in _ARGUMENTS for option in shlex.split(_environment_or(variables, name))
    ]
    for flag, names in (
        ("-p", ("ansible_port", "ansible_ssh_port")),
        ("-l", ("ansible_user", "ansible_ssh_user")),
        ("-i", ("ansible_ssh_private_key_file", "ansible_private_key_file")),
    ):
        value = next((variables[name] for name in names if name in variables), None)
        if value is not None:
            options += [flag, str(value)]
    if not _checks_host_keys(variables):
        options = ["-o", "StrictHostKeyChecking=no", *options]
    target = str(variables.get("ansible_host", variables.get("ansible_ssh_host", host)))
    password = variables.get("ansible_password", variables.get("ansible_ssh_pass"))
    return _route(host, target, options, None if password is None else str(password))


def _environment_or(variables: Mapping[str, Any], name: str) -> str:
    """A variable of the inventory, or Ansible's setting in the environment."""
    return str(variables.get(name, os.environ.get(name.upper(), "")))


def _checks_host_keys(variables: Mapping[str, Any]) -> bool:
    names = ("ansible_host_key_checking", "ansible_ssh_host_key_checking")
    said = next(
        (variables[name] for name in names if name in variables),
        os.environ.get("ANSIBLE_HOST_KEY_CHECKING", "yes"),
    )
    return str(said).lower() not in _NO


def _route(host: str, target: str, options: list[str], password: str | None) -> Route:
    said = _ask(host, target, options)
    proxy = said.get("proxycommand", ["none"])[0]
    return Route(
        host=host,
        address=said["hostname"][0],
        port=int(said["port"][0]),
        user=said["user"][0],
        keys=_existing(said.get("identityfile", [])),
        known_hosts=_existing(
            name
            for key in ("userknownhostsfile", "globalknownhostsfile")
            for names in said.get(key, [])
            for name in names.split()
        ),
        key_name=said.get("hostkeyalias", [None])[0],
        strictness=_strictness(said.get("stricthostkeychecking", ["true"])[0]),
        jump=_jump(host, said.get("proxyjump", ["none"])[0], options),
        proxy_command=None if proxy == "none" else proxy,
        password=password,
    )


def _jump(host: str, jumps: str, options: list[str]) -> Route | None:
    """The last of the hosts before this one; those before it are its own."""
    if jumps == "none":
        return None
    *before, last = jumps.split(",")
    user, at, address = last.rpartition("@")
    name, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        name, port = address, ""
    # As ssh does: of the options only the configuration's file holds for the hosts on the way.
    ways = [word for two in pairwise(options) if two[0] == "-F" for word in two]
    ways += ["-p", port] if port else []
    ways += ["-l", user] if at else []
    ways += ["-J", ",".join(before)] if before else []
    return _route(f"{host}'s jump host {name}", name.strip("[]"), ways, None)


def _ask(host: str, target: str, options: list[str]) -> dict[str, list[str]]:
    """What `ssh -G` prints: by its key, every value."""
    command = ["ssh", "-G", *options, target]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=waits.QUESTION_S, check=False
        )
    except FileNotFoundError:
        raise LabError("ssh is not installed", mend="apt install openssh-client") from None
    except subprocess.TimeoutExpired:
        raise LabError("ssh -G did not answer", place=host) from None
    if done.returncode != 0:
        raise InputError(
            f"ssh makes no sense of its options: {done.stderr.strip()}",
            place=host,
            mend=f"see its ansible_ssh_* variables; asked was: {shlex.join(command)}",
        )
    said: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        said.setdefault(key, []).append(value)
    return said


def _strictness(said: str) -> Strictness:
    if said in _NO:
        return "no"
    # A question ("ask") cannot be put while many hosts are opened: as strict as no answer.
    return "accept-new" if said == "accept-new" else "yes"


def _existing(names: Any) -> tuple[Path, ...]:
    paths = [Path(name).expanduser() for name in names]
    return tuple(path for path in dict.fromkeys(paths) if path.is_file())
