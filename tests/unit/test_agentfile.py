"""The agent's file: what is in it, and that it runs by itself, on the oldest Python a node may have."""

import ast
import json
import marshal
import os
import shutil
import subprocess
import sys
import time
import zipfile
from functools import cache
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any

import pytest

from labctl.errors import LabctlError
from labctl.lab.agentfile import agent_file
from labctl.node import AGENT_VERSION
from labctl.node.protocol import decode, encode

OLDEST = (3, 9)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return agent_file()


def names_of(agent: Path) -> set[str]:
    with zipfile.ZipFile(agent) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def sources(agent: Path) -> dict[str, str]:
    """All but what is compiled."""
    with zipfile.ZipFile(agent) as archive:
        return {
            name: archive.read(name).decode()
            for name in sorted(names_of(agent))
            if not name.endswith(".pyc")
        }


def test_it_holds_the_node_and_qmp_and_nothing_else(agent: Path) -> None:
    names = set(sources(agent))
    assert {
        "__main__.py",
        "labctl/__init__.py",
        "labctl/node/agent.py",
        "qemu/qmp/__init__.py",
    } <= names
    rest = {name for name in names if not name.startswith(("labctl/node/", "qemu/qmp/"))}
    assert rest == {"__main__.py", "labctl/__init__.py"}
    assert not any("legacy" in name or "__pycache__" in name for name in names)
    assert sources(agent)["labctl/__init__.py"] == ""


def test_beside_each_module_lies_what_this_python_makes_of_it(agent: Path) -> None:
    names = names_of(agent)
    assert {name for name in names if name.endswith(".pyc")} == {
        f"{name}c" for name in names if name.endswith(".py")
    }
    with zipfile.ZipFile(agent) as archive:
        compiled = archive.read("labctl/node/agent.pyc")
    assert compiled[:4] == MAGIC_NUMBER
    assert compiled[4] == 0b01, "taken as it is: the modules' times in the archive say nothing"
    code = marshal.loads(compiled[16:])
    assert code.co_filename == "labctl/node/agent.py", "no folder of this machine"


def test_every_file_of_it_is_of_the_oldest_python(agent: Path) -> None:
    for name, text in sources(agent).items():
        if name.endswith(".py"):
            ast.parse(text, name, feature_version=OLDEST)


def test_no_file_of_it_needs_anything_else_of_labctl(agent: Path) -> None:
    for name, text in sources(agent).items():
        if not name.startswith("labctl/node/") or not name.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and not node.level:
                assert not (node.module or "").startswith("labctl"), name
            elif isinstance(node, ast.Import):
                assert not any(alias.name.startswith("labctl") for alias in node.names), name


def test_it_is_made_once_and_named_by_its_content(agent: Path) -> None:
    made = agent.stat().st_mtime_ns
    assert agent_file() == agent
    assert agent.stat().st_mtime_ns == made
    assert [path.name for path in agent.parent.iterdir()] == [agent.name], "no scratch is left"


def test_a_changed_node_has_another_file(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import labctl.node

    copy = tmp_path / "node"
    shutil.copytree(labctl.node.__path__[0], copy)
    monkeypatch.setattr(labctl.node, "__path__", [str(copy)])
    assert agent_file() == agent
    (copy / "beats.py").write_text((copy / "beats.py").read_text() + "# changed\n")
    assert agent_file() != agent


def test_a_cache_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(LabctlError, match="the agent's file cannot be made") as raised:
        agent_file()
    assert "XDG_CACHE_HOME" in (raised.value.mend or "")


@cache
def oldest_python() -> str | None:
    """A Python of the oldest version that is on this machine and runs."""
    name = "python" + ".".join(map(str, OLDEST))
    homes = sorted(Path.home().glob(f".pyenv/versions/{OLDEST[0]}.{OLDEST[1]}*/bin/{name}"))
    for candidate in (shutil.which(name), *map(str, homes)):
        if candidate is not None:
            asked = subprocess.run([candidate, "-V"], capture_output=True, timeout=20, check=False)
            if asked.returncode == 0:
                return candidate
    return None


def speak(
    python: str, agent: Path, state_root: Path, *requests: dict[str, Any]
) -> list[dict[str, Any]]:
    """What an agent answers, by the requests' ids; its standard input is closed behind the last answer."""
    environment = {**os.environ, "LABCTL_STATE_ROOT": str(state_root)}
    popen = subprocess.Popen(
        [python, "-I", "-B", str(agent), "a-run", "a"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
    )  # fmt: skip
    assert popen.stdin is not None
    assert popen.stdout is not None
    try:
        answers = []
        for number, request in enumerate(requests, start=1):
            popen.stdin.write(json.dumps({"id": number, **request}).encode() + b"\n")
            popen.stdin.flush()
            answers.append(json.loads(popen.stdout.readline()))
        rest, stderr = popen.communicate(timeout=30)
    finally:
        popen.kill()
    assert (popen.returncode, rest, stderr) == (0, b"", b"")
    assert [answer["id"] for answer in answers] == list(range(1, len(requests) + 1))
    return answers


@pytest.fixture(params=["this", "oldest"])
def python(request: pytest.FixtureRequest) -> str:
    """This Python, and the oldest one."""
    if request.param == "this":
        return sys.executable
    found = oldest_python()
    if found is None:
        pytest.skip(f"no Python {OLDEST[0]}.{OLDEST[1]} on this machine to run the agent with")
    return found


def test_it_runs_by_itself_and_leaves_nothing(agent: Path, tmp_path: Path, python: str) -> None:
    """Isolated (-I): nothing of this checkout is on its path."""
    root = tmp_path / "state"
    hello, put, observed, wait, unknown, machine, taken = speak(
        python,
        agent,
        root,
        {"do": "hello", "with": {"lock": True, "share": False, "user": "kim"}},
        {"do": "file.put", "with": {"name": "../guest.elf", "data": "Z3Vlc3Q="}},
        {"do": "observe.start", "with": {"nonce": 7}},
        {"do": "observe.wait", "with": {"side": "source", "name": "beats", "timeout_s": 0.05}},
        {"do": "no.such", "with": {}},
        {"do": "machine.qmp", "with": {"execute": "stop", "timeout_s": 1}},
        {"do": "observe.take", "with": {}},
    )
    assert hello["ok"]["version"] == AGENT_VERSION
    assert hello["ok"]["host"]["cpu"]["usable"] >= 1
    assert put["ok"]["path"] == str(root / "a-run" / "guest.elf"), "never outside the run's folder"
    assert set(observed["ok"]["paths"]) == {"source", "destination"}
    assert wait["error"] == {"code": "timeout", "message": "beats: not within 0.05 s"}
    assert unknown["error"]["code"] == "unknown"
    assert machine["error"] == {"code": "order", "message": "this node has no machine"}
    assert taken["ok"]["records"] == ""
    assert [path.name for path in root.iterdir()] == ["host.lock"]


def test_every_module_of_it_can_be_imported(agent: Path, python: str) -> None:
    """Those too that a short conversation does not reach."""
    modules = [
        name[: -len(".py")].replace("/", ".")
        for name in sources(agent)
        if name.startswith("labctl/node/") and name.endswith(".py") and "__" not in name
    ]
    script = f"import sys; sys.path.insert(0, {str(agent)!r})\nimport {', '.join(modules)}"
    subprocess.run([python, "-I", "-B", "-c", script], check=True, timeout=60)


def test_it_survives_what_is_no_request(agent: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "LABCTL_STATE_ROOT": str(tmp_path / "state")}
    lines = (
        b"nonsense\n[]\n"
        + json.dumps({"id": 9}).encode()
        + b'\n{"id": 10, "do": "host.leftovers"}\n'
    )
    done = subprocess.run(
        [sys.executable, "-I", "-B", str(agent), "a-run", "a"],
        input=lines, capture_output=True, timeout=60, check=True, env=environment,
    )  # fmt: skip
    answers = {answer["id"]: answer for answer in map(json.loads, done.stdout.splitlines())}
    assert answers[9]["error"]["code"] == "bug"
    assert done.stderr.count(b"not a request") == 2


def test_it_says_how_it_is_used(agent: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-B", str(agent)], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert b"usage" in done.stderr


@pytest.mark.parametrize(
    ("told", "patience", "waited"), [(0, "1", "0.5"), (6, "1", "0.5"), (0, "3", "1.5")]
)
def test_an_agent_that_hears_nothing_ends(
    tmp_path: Path, told: int, patience: str, waited: str
) -> None:
    """A network may swallow the end of its controller; as long as that says that it lives, the agent goes on."""
    command = [sys.executable, "-I", str(agent_file()), "run", "a", patience, "0.5"]
    environment = {**os.environ, "LABCTL_STATE_ROOT": str(tmp_path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as agent:  # fmt: skip
        assert agent.stdin is not None
        assert agent.stdout is not None
        assert agent.stderr is not None
        began = time.monotonic()
        for number in range(told):
            agent.stdin.write(encode({"id": number, "do": "alive"}))
            agent.stdin.flush()
            assert "anchor" in decode(agent.stdout.readline())["ok"]
            time.sleep(0.2)
        assert agent.wait(20) == 0
        assert time.monotonic() - began > 0.2 * told
        said = f"nothing was heard of its controller for {waited} s\n"
        assert agent.stderr.read().decode() == said
