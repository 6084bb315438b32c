"""Looks at programs: QEMU, the lab's tools, the guest and what compiles it."""

import re
import shutil

from labctl.doctor.check import Missing, ask, program
from labctl.guest import build

TOOLS = ("ip", "tc", "unshare", "setpriv")
QEMU = "qemu-system-x86_64"
OLDEST_QEMU = (5, 0)


def qemu() -> str:
    """QEMU's version and path."""
    path = program(QEMU)
    said = ask(QEMU, "--version").partition("\n")[0]
    version = re.search(r"version (\d+)\.(\d+)\S*", said)
    if version is None:
        raise Missing(f"{path} does not say its version: {said!r}")
    if (int(version[1]), int(version[2])) < OLDEST_QEMU:
        raise Missing(f"{path} is {version[0]}; labctl needs 5.0 or newer")
    return f"{version[0]} at {path}"


def tools() -> str:
    """Where the tools are; all that are missing are named."""
    found, missing = [], []
    for name in TOOLS:
        try:
            found.append(program(name))
        except Missing:
            missing.append(name)
    if missing:
        raise Missing(f"not in PATH: {', '.join(missing)}")
    return ", ".join(found)


def guest() -> str:
    """The guest's image, or the compiler that will make it."""
    image = build.IMAGE
    if image.exists() and build.source_id().encode() in image.read_bytes():
        return f"compiled, sha256 {build.guest_sha256(image)[:12]}"
    absent = [tool for tool in build.TOOLS if shutil.which(tool) is None]
    if absent:
        state = "older than its sources" if image.exists() else "not compiled"
        raise Missing(f"{state}, and not in PATH: {', '.join(absent)}")
    return f"will be compiled at its first use, by {shutil.which('gcc')}"
