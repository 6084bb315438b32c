"""Records docs/own-lab-session.md: two empty Debian hosts become a lab, a campaign runs on it, and they are given back.

    python -m scripts.lab_session > docs/own-lab-session.md

As root: the hosts are containers that tests/hosts makes. What is typed is run, and what it says is kept as it was; of what is
long the middle is left out, and said to be.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.hosts import debian_hosts

ROOT = Path(__file__).parents[1]
LONGEST_LINES = 40
KEPT_LINES = 12
LAB = "inventory/mylab"
CAMPAIGN = "campaigns/quickstart.yaml"
SESSION: tuple[tuple[str, str], ...] = (
    ("What is there: two hosts with nothing on them but sshd and Python.", f"labctl lab check {LAB}"),
    ("What would be done to them is shown before it is done; here nobody is asked.", f"labctl lab provision {LAB} --yes"),
    ("", f"labctl lab check {LAB}"),
    ("The campaign is that of the README, unchanged.", f"labctl run {CAMPAIGN} --lab {LAB}"),
    ("One trial, from inside and from outside.", "labctl show latest 5"),
    ("", "labctl report"),
    ("And back: what provisioning has set, and nothing else.", f"labctl lab unprovision {LAB} --yes"),
    ("", f"labctl lab check {LAB}"),
)  # fmt: skip
HEAD = """# A session: from two empty hosts to a report

Recorded by `python -m scripts.lab_session`: every command was run, and every output is real. The hosts are two
Debian 12 containers on one machine of two cores, reached over SSH, with a network of their own for SSH and another for
migrations; so their figures are those of an embedded lab that has to share its cores, not those of a rack.
The whole took {minutes:.0f} minutes.

The inventory, `inventory/mylab/hosts.yml`:

```yaml
{inventory}```
"""


def main() -> None:
    """Record the session; print the page."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lab-session-") as scratch:
        here = Path(scratch) / "here"
        (here / "inventory" / "mylab").mkdir(parents=True)
        shutil.copytree(ROOT / "campaigns", here / "campaigns")
        with debian_hosts(["north", "south"], Path(scratch) / "hosts") as hosts:
            text = hosts.inventory.read_text()
            (here / LAB / "hosts.yml").write_text(text)
            said = "".join(_typed(why, command, here) for why, command in SESSION)
        shown = _shown(text, scratch)
    minutes = (time.monotonic() - began) / 60
    sys.stdout.write(HEAD.format(minutes=minutes, inventory=shown) + said)


def _typed(why: str, command: str, here: Path) -> str:
    """A command, and what it said, as Markdown."""
    done = subprocess.run(
        command.split(),
        cwd=here,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "110"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
    )  # fmt: skip
    lines = _shown(done.stdout, str(here)).splitlines()
    status = [f"[exit status {done.returncode}]"] if done.returncode else []
    body = "\n".join([f"$ {command}", *_shortened(lines), *status])
    sys.stderr.write(body + "\n")
    return f"\n{why}\n\n```text\n{body}\n```\n" if why else f"\n```text\n{body}\n```\n"


def _shortened(lines: Sequence[str]) -> list[str]:
    if len(lines) <= LONGEST_LINES or any("Blackout, ms" in line for line in lines):
        return [line.rstrip() for line in lines]
    left_out = len(lines) - 2 * KEPT_LINES
    kept = [*lines[:KEPT_LINES], f"  ... {left_out} more lines ...", *lines[-KEPT_LINES:]]
    return [line.rstrip() for line in kept]


def _shown(text: str, scratch: str) -> str:
    """Without the place where it was recorded."""
    text = text.replace(f"{scratch}/hosts", "/home/me/.ssh").replace(f"{scratch}/", "")
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


if __name__ == "__main__":
    main()
