"""A connection to a host over SSH, by Fabric: host keys are checked, and what fails says whose fault it is."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from labctl.errors import LabError
from labctl.lab import waits
from labctl.lab.ssh.route import Route

if TYPE_CHECKING:
    from fabric import Connection
    from paramiko import SSHClient, Transport

_KEEP_ALIVE_S = 15
"""what stands between (a firewall's memory, say) sees that the connection is in use"""


def connect(route: Route, patience: float = 1.0) -> "Connection":
    """Open a connection. LabError, with the mend, when it cannot be had."""
    from fabric import Config, Connection

    within_s = waits.CONNECT_S * patience
    gateway: Connection | str | None = route.proxy_command
    if route.jump is not None:
        gateway = connect(route.jump, patience)
    connection = Connection(
        route.address,
        user=route.user,
        port=route.port,
        # ssh itself has said what its configuration asks for.
        config=Config(overrides={"load_ssh_configs": False}),
        gateway=gateway,
        connect_timeout=within_s,
        connect_kwargs={
            "key_filename": [str(key) for key in route.keys],
            "password": route.password,
            "banner_timeout": within_s,
            "auth_timeout": within_s,
        },
    )
    _know_hosts(connection.client, route)
    try:
        with _named(route, within_s):
            connection.open()
            transport_of(connection).set_keepalive(_KEEP_ALIVE_S)
    except BaseException:
        hang_up(connection)
        raise
    return connection


def transport_of(connection: "Connection") -> "Transport":
    """The transport of an open connection."""
    transport: Transport | None = connection.transport
    assert transport is not None
    return transport


def hang_up(connection: "Connection") -> None:
    """Close a connection, and those it goes over."""
    from paramiko import SSHException

    while connection is not None:
        transport = connection.client.get_transport()
        with suppress(OSError, SSHException, EOFError):
            connection.close()
            connection.client.close()  # one that was refused is no connection to Fabric
        # While its thread still listens, the kernel keeps the closed socket's connection up.
        if transport is not None and transport.is_alive():
            transport.join(waits.HANG_UP_S)
        gateway = connection.gateway
        connection = None if isinstance(gateway, str) else gateway


def _know_hosts(client: "SSHClient", route: Route) -> None:
    """Which host keys are trusted. Fabric by itself trusts every one."""
    from paramiko import AutoAddPolicy, RejectPolicy
    from paramiko.hostkeys import HostKeys

    policy = RejectPolicy if route.strictness == "yes" else AutoAddPolicy
    client.set_missing_host_key_policy(policy())
    if route.strictness == "no":
        return
    for path in route.known_hosts:
        with suppress(OSError):
            client.load_system_host_keys(str(path))
    if route.key_name is not None:
        filed = HostKeys()
        for path in route.known_hosts:
            with suppress(OSError):
                filed.load(str(path))
        asked = route.address if route.port == 22 else f"[{route.address}]:{route.port}"
        for kind, key in (filed.lookup(route.key_name) or {}).items():
            client.get_host_keys().add(asked, kind, key)


_KEY = "put a key there (ssh-copy-id), or name the right one: ansible_ssh_private_key_file, ansible_user"


@contextmanager
def _named(route: Route, within_s: float) -> Iterator[None]:
    """Every way in which a connection fails, in words that say what to do."""
    from paramiko import (
        AuthenticationException,
        BadHostKeyException,
        PasswordRequiredException,
        SSHException,
    )
    from paramiko.ssh_exception import NoValidConnectionsError

    try:
        yield
    except BadHostKeyException as error:
        raise _fault(
            route,
            f"its host key is not the one that is known: it shows {error.key.fingerprint}",
            "if the host was made anew, forget its old key: "
            f"{_forget(route)}; if it was not, somebody else answers there",
        ) from None
    except PasswordRequiredException:
        raise _fault(
            route, "the private key is locked by a passphrase", "unlock it first: ssh-add"
        ) from None
    except AuthenticationException as error:
        keys = ", ".join(str(key) for key in route.keys) or "none that exists"
        raise _fault(
            route,
            f"SSH lets {route.user} not in ({error}); keys that were tried: {keys}",
            f"{_KEY}; try: {route.command} true",
        ) from None
    except SSHException as error:
        if "No authentication methods" in str(error):
            raise _fault(
                route,
                f"there is no key to let {route.user} in with",
                f"{_KEY}; try: {route.command} true",
            ) from None
        if "not found in known_hosts" in str(error):
            raise _fault(
                route,
                "its host key is not known",
                f"go there once and compare the fingerprint: {route.command}",
            ) from None
        raise _fault(route, f"SSH failed: {error}", f"try: {route.command} true") from None
    except socket.gaierror:
        raise _fault(
            route, f"there is no host named {route.address}", "set ansible_host to its address"
        ) from None
    except NoValidConnectionsError as error:
        said = "; ".join(sorted({str(each) for each in error.errors.values()}))
        raise _fault(
            route, f"port {route.port} of {route.address} cannot be reached: {said}", _way(route)
        ) from None
    except TimeoutError:
        raise _fault(
            route,
            f"{route.address} does not answer within {within_s:g} s",
            _way(route),
        ) from None
    except (OSError, EOFError) as error:
        raise _fault(route, f"{route.address} cannot be reached: {error}", _way(route)) from None


def _way(route: Route) -> str:
    return f"is it up, and its sshd running? try: {route.command} true"


def _forget(route: Route) -> str:
    name = route.key_name or (
        route.address if route.port == 22 else f"[{route.address}]:{route.port}"
    )
    files = "".join(f" -f {path}" for path in route.known_hosts[:1])
    return f"ssh-keygen{files} -R '{name}'"


def _fault(route: Route, fault: str, mend: str) -> LabError:
    return LabError(fault, place=route.host, mend=mend)
