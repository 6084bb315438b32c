"""Run the quickstart under a Prometheus, and draw what came of it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from labctl.data import data_path
from labctl.monitoring import discovery
from labctl.monitoring.following import Follower
from labctl.monitoring.replay import Replay, lab_of
from labctl.monitoring.samples import RunSeries
from labctl.results import load_run
from labctl.results.run import Run
from scripts.boards.answers import Asked
from scripts.pictures import panels, watching
from tests.prometheus import Server, node_exporter

OUT = Path("docs/pictures")
CAMPAIGN = "quickstart"
SHOWN = "hybrid,write_rate=400MiBps"
"""the cell whose trial is drawn"""
WATCHED = "precopy,write_rate=400MiBps"
"""the cell in whose trial `labctl watch` is drawn"""
ENOUGH_TRIALS, ENOUGH_POINTS = 10, 30
RUN_S = 900.0
POLL_S = 0.5
"""seldom: the run needs the processors"""


def main() -> None:
    """All pictures."""
    OUT.mkdir(exist_ok=True)
    with ExitStack() as opened:
        here = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="labctl-pictures-")))
        server = opened.enter_context(Server(here / "prometheus"))
        opened.enter_context(node_exporter(server.targets))
        server.start()
        run = conducted(here, server)
        drawn(server, run)


def conducted(here: Path, server: Server) -> Run:
    """The campaign's run, when it has ended; `labctl watch` is drawn in the middle of it."""
    command = [
        str(Path(sys.executable).parent / "labctl"),
        "run",
        f"campaigns/{CAMPAIGN}.yaml",
        "--out",
        str(here / "runs"),
    ]
    process = subprocess.Popen(
        [*command, "--metrics", "0", "--remote-write", server.write_url],
        env={**os.environ, discovery.FOLDER: str(server.targets)},
    )  # fmt: skip
    try:
        _wait(lambda: (here / "runs").is_dir() and any((here / "runs").glob("*/journal.jsonl")))
        follower = Follower(load_run("latest", here / "runs"))
        _wait(lambda: process.poll() is not None or _is_in_the_middle(follower))
        watching.draw(follower, OUT / "watch.svg")
        _wait(lambda: process.poll() is not None)
    finally:
        process.terminate()
        process.wait(60)
    return load_run("latest", here / "runs")


def drawn(server: Server, run: Run) -> None:
    """The dashboards."""
    times = [at_s for at_s, _ in Replay(run).new()]
    (trial,) = run.frame().query("cell == @SHOWN")["trial"].tail(1)
    (info,) = [of for of in RunSeries(run, lab_of(run)).of(trial) if of.metric.name == "trial_info"]
    entered = run.trial(trial).record.times.entered
    lead_s = (entered["setup"] - entered["prepare"]) / 1e9
    within = (info.t_ms[0] / 1e3 + lead_s - 1, info.t_ms[-1] / 1e3)
    selected = {"run": run.name, "trial": str(trial)}
    asked = Asked(server.prometheus, times[0], times[-1] + 2, selected, within)
    for path in sorted(data_path("dashboards").glob("*.json")):
        panels.draw(json.loads(path.read_text()), asked, OUT / f"{path.stem}.svg")


def _is_in_the_middle(follower: Follower) -> bool:
    """Whether there are some results, and a migration that has something to show for a while."""
    follower.look()
    standing = follower.standing
    return standing.planned - standing.left >= ENOUGH_TRIALS and any(
        standing.which(number).cell == WATCHED and len(now.remaining_bytes) >= ENOUGH_POINTS
        for number, now in follower.now.items()
    )


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + RUN_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"the run did not end within {RUN_S:g} s")
        time.sleep(POLL_S)


if __name__ == "__main__":
    main()
