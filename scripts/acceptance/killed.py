"""What a `kill -9` in the middle leaves is found by `lab clean` and `lab down`."""

import json
import subprocess
from pathlib import Path

from labctl.lab.inventory import inventories
from labctl.results import load_run
from scripts.acceptance.labs import COMMAND_S, RUN_S, Lab, Unmet, until


def while_its_image_is_made(lab: Lab) -> None:
    """`lab up` is killed while packages are unpacked; `lab clean` finds what it was at."""
    images = lab.cache / "labctl" / "images"
    with lab.begun("lab", "up", lab.name, "--suite", lab.suite):
        until(lambda: list(images.glob("*.new/work/tree/usr")), "packages are unpacked", COMMAND_S)
    said = lab.labctl("lab", "clean", lab.name)
    if ".new" not in said:
        raise Unmet(f"lab clean has not found the image that was half made: {said!r}")
    until(lambda: not lab.left(), "nothing is left of it", COMMAND_S, lab.left)


def while_its_hosts_boot(lab: Lab) -> None:
    """`lab up` is killed while the hosts boot; `lab clean` finds a lab that is half made."""
    with lab.begun("lab", "up", lab.name, "--suite", lab.suite):
        until(lambda: lab.name in inventories(), "its hosts boot", COMMAND_S)
    said = lab.labctl("lab", "clean", lab.name)
    if f"the lab {lab.name}, half made" not in said:
        raise Unmet(f"lab clean has not found the lab that was half made: {said!r}")
    until(lambda: not lab.left(), "nothing is left of it", COMMAND_S, lab.left)


def while_it_is_provisioned(lab: Lab) -> None:
    """`lab up` is killed while its hosts are provisioned; `lab down` takes all of it."""
    ready = f"/run/labctl/lab-{lab.name}"
    with lab.begun("-v", "lab", "up", lab.name, "--suite", lab.suite):
        until(lambda: _provisioned(ready), "its hosts are provisioned", COMMAND_S)
    lab.down()


SHORT = """\
name: killed
guest: {memory: 32MiB, working_set: 8MiB}
link: {bandwidth: none}
matrix: {write_rate: [0MiB/s, 256KiB/s]}
limits: {total_time: 120s}
repetitions: 1
warmups: 0
"""


def in_a_campaign(lab: Lab) -> None:
    """A run is killed in its second trial: its agents end by themselves, and the run goes on where it was."""
    campaign, out = lab.cache / "killed.yaml", lab.cache / "runs"
    campaign.write_text(SHORT)
    with lab.begun("run", str(campaign), "--lab", lab.name, "--out", str(out)):
        until(lambda: list(out.glob("killed-*/trials/0001-*")), "a trial is over", RUN_S)
    lab.labctl("lab", "clean", lab.name)
    lab.labctl("run", "--resume", "--out", str(out), within_s=RUN_S)
    frame = load_run("latest", out).frame()
    if list(frame["outcome"]) != ["completed", "completed"]:
        raise Unmet(f"a run that was killed and went on: {list(frame['outcome'])}")
    if set(frame["pair"]) != {"h1-h2"}:
        raise Unmet(f"a run that was killed went on elsewhere: {list(frame['pair'])}")


def _provisioned(live: str) -> bool:
    """Whether somebody has logged in on a host: Ansible is the first."""
    try:
        hosts = json.loads((Path(live) / "keeper.json").read_text())["hosts"]
    except (OSError, ValueError):
        return False
    command = ["ss", "-Htn", "state", "established", "dport", "=", ":22"]
    seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return any(host["address"] in seen for host in hosts)
