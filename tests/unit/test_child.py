"""A node as a child process: whatever it does, closing it ends it, in bounded time."""

import os
import signal
import time
from pathlib import Path

import pytest

from labctl.errors import NodeError, NodeLost
from labctl.lab import child, waits
from labctl.lab.child import ChildChannel
from labctl.lab.node import Node

STUCK = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('{}', flush=True)\ntime.sleep(600)\n"


@pytest.fixture(autouse=True)
def as_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child without a network of its own needs no root."""
    monkeypatch.setattr(child, "privilege", list)
    monkeypatch.setenv("LABCTL_STATE_ROOT", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that reads nothing and does not end."""
    script = tmp_path / "stuck.py"
    script.write_text(STUCK)
    monkeypatch.setattr(child, "agent_file", lambda: script)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_node_ends_with_its_channel(tmp_path: Path) -> None:
    node = Node("a", ChildChannel("run", "a", own_network=False))
    hello = node.call("hello", wait_s=30, lock=True, share=False)
    assert (tmp_path / "state" / "run" / "a.json").exists()
    with pytest.raises(NodeError, match="this node has no machine"):
        node.call("machine.qmp", execute="stop", timeout_s=1)
    node.close()
    assert not is_alive(hello["pid"])
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["host.lock"]
    node.close()


def test_a_node_that_is_killed_is_lost(tmp_path: Path) -> None:
    node = Node("a", ChildChannel("run", "a", own_network=False))
    hello = node.call("hello", wait_s=30, lock=False, share=False)
    node.call("observe.start", nonce=1)
    waiting = node.begin("observe.wait", side="source", name="beats", timeout_s=60)
    os.kill(hello["pid"], signal.SIGKILL)
    with pytest.raises(NodeLost, match="node a: its agent has ended"):
        node.result(waiting, "beats", 30)
    node.close()


def test_a_terminated_node_clears_up(tmp_path: Path) -> None:
    node = Node("a", ChildChannel("run", "a", own_network=False))
    hello = node.call("hello", wait_s=30, lock=False, share=False)
    node.call("observe.start", nonce=1)
    os.kill(hello["pid"], signal.SIGTERM)
    with pytest.raises(NodeLost):
        node.result(node.begin("observe.wait", side="source", name="x", timeout_s=60), "x", 30)
    assert list((tmp_path / "state").iterdir()) == []
    node.close()


def test_an_agent_that_takes_no_request_does_not_hang_its_asker(
    stuck: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe takes some KiB; then a write would wait for ever."""
    monkeypatch.setattr(waits, "SEND_S", 0.1)
    node = Node("a", ChildChannel("run", "a", own_network=False))
    started = time.monotonic()
    with pytest.raises(NodeLost, match="the agent takes no more requests"):
        node.call("file.put", name="x", data="x" * 2_000_000)
    assert time.monotonic() - started < 10
    monkeypatch.setattr(waits, "CLOSE_S", 0.3)
    node.close()


def test_an_agent_that_does_not_end_is_killed(stuck: None, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = ChildChannel("run", "a", own_network=False)
    assert channel.receive() == b"{}\n"
    channel.close(0.2)
    assert not is_alive(channel._process.pid)
    assert channel._process.returncode == -signal.SIGKILL
    with pytest.raises(OSError, match="closed"):
        channel.send(b"{}\n")


def test_the_last_words_are_the_end_of_its_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "dying.py"
    script.write_text("import sys\nsys.exit('x' * 5000 + ' out of memory')\n")
    monkeypatch.setattr(child, "agent_file", lambda: script)
    node = Node("a", ChildChannel("run", "a", own_network=False))
    with pytest.raises(NodeLost) as raised:
        node.call("hello", wait_s=30)
    assert raised.value.fault.endswith(" out of memory")
    assert len(raised.value.fault) < 2100
    node.close()
