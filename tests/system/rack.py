"""What tests of labs over SSH do on a rack of hosts."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from labctl import api
from labctl.campaign import Campaign
from labctl.results import Run, load_run
from tests.hosts import Host, Hosts

NAMES = ("h1", "h2", "h3", "h4")
PAIR = NAMES[:2]
OURS = r"[a]gent-.*pyz|[q]emu-system"
"""what a run starts on a host, as pgrep sees it"""
GONE_S = 25.0
"""a node that hears nothing of its controller ends, and all it started"""


def ran(asked: Campaign, lab: str, out: Path) -> Run:
    """What a whole run of a campaign measured."""
    return succeeded(api.run(asked, lab=lab, out=out))


def succeeded(result: api.Result) -> Run:
    """What a run measured that did all it was asked."""
    run = load_run(result.directory)
    said = [
        (trial.record.name, trial.record.outcome, trial.record.reason) for trial in run.trials()
    ]
    assert result.exit_code == 0, (result.summary, said)
    return run


def left_on(host: Host) -> str:
    """What of a run is on a host: processes, live state, a link that is not as it was."""
    shown = (
        f"pgrep -af '{OURS}'; ls /run/labctl 2>/dev/null | grep -v '^host[.]'; "
        "tc qdisc show dev mig0 root | grep -v 'qdisc noqueue'; ip -o link show mig0 | grep -v 'mtu 1500'"
    )
    return host.run(shown).stdout


def nothing_left(hosts: Hosts, within_s: float = GONE_S) -> None:
    """Wait until no host has anything of a run any more."""
    for host in hosts:
        if host.pid:
            until_nothing_left(host, within_s)


def until_nothing_left(host: Host, within_s: float = GONE_S) -> None:
    """Wait until a host has nothing of a run any more."""
    until(lambda: not left_on(host), within_s, lambda: left_on(host))


def until(
    met: Callable[[], bool], within_s: float, saying: Callable[[], object] = lambda: ""
) -> None:
    """Wait for something on a host, which tells nobody of it."""
    deadline = time.monotonic() + within_s
    while not met():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s:g} s: {saying()}")
        time.sleep(0.1)


def runs_on(host: Host, what: str) -> bool:
    """Whether a program whose command line is like that runs on a host."""
    return host.run(f"pgrep -f '{what}'").returncode == 0


def ended(process: "subprocess.Popen[str]", within_s: float) -> str:
    """All that a process said, once it has ended."""
    try:
        return process.communicate(timeout=within_s)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"it does not end: {process.communicate()[0]}")
