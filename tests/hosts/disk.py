"""A host's own tree: a layer over the pristine one where the kernel can, else a copy; and what makes it that host's."""

import os
import shutil
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.hosts.commands import run
from tests.hosts.numbers import MANAGEMENT, MIGRATION
from tests.hosts.tree import USER, USER_ID

_RESOLVERS = ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf")
"""the first that there is; the second may name a resolver that listens on this machine's loopback only"""
_NETWORK = "etc/systemd/network/{}.network"


@dataclass(frozen=True)
class Disk:
    """The tree of a host, in a folder of its own.

    :ivar written: what the host has that the pristine tree has not, or, of a copy, all of it.
    """

    folder: Path
    pristine: Path
    layered: bool

    @property
    def written(self) -> Path:
        return self.folder / "disk" / ("written" if self.layered else "root")

    @property
    def root(self) -> Path:
        """Where its boot finds it."""
        return self.folder / "disk/root"

    @property
    def mounts(self) -> list[list[str]]:
        """The commands that make a root of it, in a mount namespace of its own."""
        root = str(self.root)
        if not self.layered:
            # Where folders of temporary files are mounted without set-user-id, sudo would have none.
            return [
                ["mount", "--bind", root, root],
                ["mount", "-o", "remount,bind,suid,dev,exec", root],
            ]
        work = self.folder / "disk/work"
        layers = f"lowerdir={self.pristine},upperdir={self.written},workdir={work}"
        return [["mount", "-t", "overlay", "overlay", "-o", layers, root]]

    def put(self, name: str, text: str, *, mode: int = 0o644, owner: int = 0) -> None:
        """Write a file into it, before it boots."""
        path = self.make_folder(name.rpartition("/")[0], owner=owner) / name.rpartition("/")[2]
        path.write_text(text)
        path.chmod(mode)
        os.chown(path, owner, owner)

    def make_folder(self, name: str, *, owner: int = 0) -> Path:
        """Where a folder of it is written to. A layer's is as in the pristine tree; a new one is the owner's alone."""
        folder, model = self.written / name, self.pristine / name
        if not folder.exists():
            self.make_folder(name.rpartition("/")[0])
            folder.mkdir(mode=0o700)
            if model.exists():
                shutil.copystat(model, folder)
                os.chown(folder, model.stat().st_uid, model.stat().st_gid)
            else:
                os.chown(folder, owner, owner)
        return folder


def make_disk(folder: Path, pristine: Path) -> Disk:
    """An empty layer, or a copy."""
    layered = _can_layer(folder.parent, pristine)
    disk = Disk(folder, pristine, layered)
    if layered:
        for path in (disk.written, disk.root, folder / "disk/work"):
            path.mkdir(parents=True)
        shutil.copystat(pristine, disk.written)
    else:
        disk.root.parent.mkdir(parents=True)
        run("cp", "-a", "--reflink=auto", str(pristine), str(disk.root), within_s=300)
    return disk


def remove_disks(folder: Path) -> None:
    """Remove the disks in a folder; what their hosts said at boot stays beside where they were."""
    for path in folder.glob("*/disk"):
        shutil.rmtree(path)


def make_its_own(disk: Disk, name: str, address: str, gateway: str, client_key: str) -> str:
    """Give it its name, keys and address; its public host key."""
    disk.put("etc/hostname", f"{name}\n")
    disk.put("etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {name}\n")
    disk.put("etc/machine-id", f"{uuid.uuid4().hex}\n", mode=0o444)
    resolver = next(path for path in map(Path, _RESOLVERS) if path.exists())
    disk.put("etc/resolv.conf", resolver.read_text())
    disk.put("root/.ssh/authorized_keys", client_key, mode=0o600)
    disk.put(f"home/{USER}/.ssh/authorized_keys", client_key, mode=0o600, owner=USER_ID)
    disk.put(_NETWORK.format("10-management"), _network(MANAGEMENT, f"{address}/24", gateway))
    return make_key(disk.make_folder("etc/ssh") / "ssh_host_ed25519_key", f"root@{name}")


def give_migration_address(disk: Disk, address: str) -> None:
    """Have it configure its second interface too, which is otherwise left to whoever provisions it."""
    disk.put(_NETWORK.format("20-migration"), _network(MIGRATION, address))


def make_key(path: Path, comment: str) -> str:
    """A new key without a passphrase; its public half."""
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
    return path.with_name(f"{path.name}.pub").read_text()


def _network(interface: str, address: str, gateway: str | None = None) -> str:
    # A pulled cable must not take the address: on a rack's hosts it does not either.
    return (
        f"[Match]\nName={interface}\n\n[Network]\nAddress={address}\n"
        + (f"Gateway={gateway}\n" if gateway else "")
        + "IPv6AcceptRA=no\nIgnoreCarrierLoss=yes\n"
    )


@cache
def _can_layer(folder: Path, pristine: Path) -> bool:
    """Whether the kernel lays a layer of this folder over the tree; tried in a mount namespace that ends with the try."""
    place = folder / "layer-tried"
    try:
        for name in ("written", "work", "root"):
            (place / "disk" / name).mkdir(parents=True)
        tried = Disk(place, pristine, layered=True)
        script = '"$@" && test -x "$0/usr/sbin/sshd" && touch "$0/etc/hostname"'
        run("unshare", "--mount", "sh", "-c", script, str(tried.root), *tried.mounts[0])
    except RuntimeError:
        return False
    finally:
        shutil.rmtree(place)
    return True
