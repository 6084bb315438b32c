"""A connection that is lost, as paramiko tells of it: by another kind of exception at each thing it was at."""

import threading
from typing import Any, cast

import pytest
from paramiko import SSHException, Transport

from labctl.lab import waits
from labctl.lab.ssh.channel import SshChannel, execute

GONE = [EOFError(), SSHException("Key-exchange timed out"), OSError("Socket is closed")]


class LostChannel:
    """A channel as it is after its connection was lost: whatever sends something fails."""

    closed = False
    exit_status = -1

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.status_event = threading.Event()

    def settimeout(self, _seconds: float) -> None:
        pass

    def exec_command(self, _command: str) -> None:
        pass

    def recv_stderr_ready(self) -> bool:
        return True

    def fails(self, *_arguments: Any) -> Any:
        raise self.error

    recv = recv_stderr = sendall = shutdown_write = fails

    def get_transport(self) -> "LostTransport":
        return LostTransport(self.error)

    def close(self) -> None:
        self.closed = True
        raise self.error


class LostTransport:
    """The transport of one such channel."""

    def __init__(self, error: Exception) -> None:
        self.channel = LostChannel(error)

    def open_session(self, **_options: Any) -> LostChannel:
        return self.channel

    def is_active(self) -> bool:
        return False


def transport(error: Exception) -> Transport:
    return cast("Transport", LostTransport(error))


@pytest.mark.parametrize("error", GONE, ids=repr)
def test_it_is_an_os_error_to_who_sends_and_the_end_to_who_receives(error: Exception) -> None:
    channel = SshChannel(transport(error), "agent")
    with pytest.raises(OSError, match=r"Socket is closed|Key-exchange timed out|it has ended"):
        channel.send(b"{}\n")
    assert channel.receive() == b""
    channel.close(1)


@pytest.mark.parametrize("error", GONE, ids=repr)
def test_it_is_an_os_error_to_who_runs_a_program(error: Exception) -> None:
    with pytest.raises(OSError, match=r"Socket is closed|Key-exchange timed out|it has ended"):
        execute(transport(error), "true", timeout_s=1, wait="true")


@pytest.mark.parametrize("error", GONE, ids=repr)
def test_a_silent_one_is_given_up_and_says_why(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", faults.append)
    monkeypatch.setattr(waits, "SILENCE_S", 0.1)
    monkeypatch.setattr("labctl.lab.ssh.channel._TICK_S", 0.01)
    lost = LostTransport(error)
    channel = SshChannel(cast("Transport", lost), "agent")
    channel._watch.join(10)
    assert not channel._watch.is_alive()
    assert lost.channel.closed
    assert channel.last_words() == "nothing was heard of its host for 0.1 s"
    assert faults == []
