"""Where this machine takes Debian's packages from, carried over to the hosts: sources, apt's settings, CA certificates."""

import re
import shutil
from pathlib import Path

from tests.hosts.commands import run

SUITE = "bookworm"
_MIRROR = "http://deb.debian.org/debian"
_LISTS = ("etc/apt/sources.list", "etc/apt/sources.list.d/debian.sources")
_SETTINGS = re.compile(r"Acquire::(https?|ftp|Check-|Retries|Proxy|ForceIPv)")
_CERTIFICATES = "usr/local/share/ca-certificates"
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_URI = re.compile(rf"(?:https?|file|mirror\+\S+):\S+(?=\s+{SUITE}\s)")


def sources() -> dict[str, str]:
    """By path in a tree, the lists of Debian's own packages for the suite; empty when this machine has none for it."""
    found = {}
    for name in _LISTS:
        path = Path("/", name)
        if path.exists() and re.search(rf"\b{SUITE}\b", text := path.read_text()):
            found[name] = text
    return found


def mirror() -> str:
    """The mirror that the tree itself is made from."""
    for text in sources().values():
        one_line = _URI.search(text)
        if one_line:
            return one_line[0]
        for stanza in re.split(r"\n\s*\n", text):
            fields = dict(re.findall(r"^(\S+):[ \t]*(.+)$", stanza, re.MULTILINE))
            if SUITE in fields.get("Suites", "").split() and fields.get("URIs"):
                return str(fields["URIs"].split()[0])
    return _MIRROR


def settings() -> str:
    """What apt has been told here about reaching mirrors and trusting them, as a file of apt.conf.d."""
    lines = run("apt-config", "dump").splitlines()
    return "".join(f"{line}\n" for line in lines if _SETTINGS.match(line))


def carry_over(tree: Path) -> None:
    """Put all of it into a tree."""
    lists = sources()
    if lists:
        (tree / _LISTS[0]).unlink(missing_ok=True)
    for name, text in lists.items():
        (tree / name).write_text(text)
    (tree / "etc/apt/apt.conf.d/99carried-over").write_text(settings())
    (tree / _BUNDLE).parent.mkdir(parents=True, exist_ok=True)
    if Path("/", _BUNDLE).exists():
        shutil.copy(Path("/", _BUNDLE), tree / _BUNDLE)
    # The package ca-certificates makes the bundle anew from these.
    if Path("/", _CERTIFICATES).is_dir():
        shutil.copytree(Path("/", _CERTIFICATES), tree / _CERTIFICATES, dirs_exist_ok=True)
