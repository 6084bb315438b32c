"""The way to a host is what ssh says it is; here a program of that name stands in for it, and system tests ask the real one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from labctl.errors import InputError, LabError
from labctl.lab.ssh.route import Route, route_to

SAID = "hostname 192.0.2.7\nport 2222\nuser lab\nstricthostkeychecking true\nproxyjump none\n"
SSH = """#!/bin/sh
for last; do :; done
echo "$@" >>"{folder}/asked"
cat "{folder}/$last" 2>/dev/null || cat "{folder}/any"
"""
Asked = Callable[[], list[str]]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder: what `ssh -G` says of a target is the file of its name there."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(SSH.format(folder=tmp_path))
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    for name in ("ANSIBLE_HOST_KEY_CHECKING", "ANSIBLE_SSH_ARGS", "ANSIBLE_SSH_COMMON_ARGS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "any").write_text(SAID)
    return tmp_path


def asked(ssh: Path) -> list[str]:
    return (ssh / "asked").read_text().splitlines()


def test_the_inventorys_options_are_given_to_ssh(ssh: Path) -> None:
    variables = {
        "ansible_host": "10.0.0.7",
        "ansible_port": 22,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": "/some/key",
        "ansible_ssh_common_args": "-o UserKnownHostsFile='/a b' -C",
        "ansible_ssh_extra_args": "-4",
    }
    route_to("h1", variables)
    assert asked(ssh) == ["-G -o UserKnownHostsFile=/a b -C -4 -p 22 -l root -i /some/key 10.0.0.7"]


def test_a_route_is_what_ssh_says(ssh: Path) -> None:
    key, known = ssh / "key", ssh / "known"
    key.touch()
    known.touch()
    (ssh / "any").write_text(
        f"{SAID}identityfile {key}\nidentityfile {ssh}/none\nuserknownhostsfile {ssh}/no {known}\n"
        "hostkeyalias other\n"
    )
    assert route_to("h1", {}) == Route(
        "h1", "192.0.2.7", 2222, "lab", (key,), (known,), "other", "yes", None, None, None
    )
    assert route_to("h1", {}).command == "ssh -p 2222 lab@192.0.2.7"


@pytest.mark.parametrize(
    ("said", "strictness"),
    [("true", "yes"), ("ask", "yes"), ("accept-new", "accept-new"), ("false", "no"), ("off", "no")],
)
def test_how_strict_it_is(ssh: Path, said: str, strictness: str) -> None:
    (ssh / "any").write_text(SAID.replace("true", said))
    assert route_to("h1", {}).strictness == strictness


@pytest.mark.parametrize("value", [False, "no", "False"])
def test_ansibles_own_switch_of_host_keys_holds(ssh: Path, value: object) -> None:
    route_to("h1", {"ansible_host_key_checking": value})
    assert asked(ssh) == ["-G -o StrictHostKeyChecking=no h1"]


def test_jump_hosts_are_a_chain(ssh: Path) -> None:
    (ssh / "h1").write_text(SAID.replace("none", "me@gate:22,inner"))
    (ssh / "inner").write_text("hostname 192.0.2.2\nport 22\nuser x\nproxyjump me@gate:22\n")
    (ssh / "gate").write_text("hostname 192.0.2.1\nport 22\nuser me\nproxyjump none\n")
    route = route_to("h1", {"ansible_ssh_common_args": "-F config -o HostKeyAlias=h"})
    assert route.jump is not None
    assert route.jump.jump is not None
    assert (route.jump.address, route.jump.jump.address) == ("192.0.2.2", "192.0.2.1")
    assert asked(ssh) == [
        "-G -F config -o HostKeyAlias=h h1",
        "-G -F config -J me@gate:22 inner",
        "-G -F config -p 22 -l me gate",
    ]


def test_ssh_that_is_not_there_is_named(ssh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(ssh))
    with pytest.raises(LabError, match="ssh is not installed\n  mend: apt install openssh-client"):
        route_to("h1", {})


def test_what_ssh_refuses_is_the_inventorys_fault(ssh: Path) -> None:
    program = ssh / "bin" / "ssh"
    program.write_text("#!/bin/sh\necho 'Bad configuration option: x' >&2\nexit 255\n")
    with pytest.raises(InputError, match="h1: ssh makes no sense of its options: Bad conf"):
        route_to("h1", {"ansible_ssh_common_args": json.dumps("-o x=1")})
