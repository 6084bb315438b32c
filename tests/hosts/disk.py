"""A host's own tree: a layer over the pristine one where the kernel can, else a copy; and what makes it that host's."""

import os
import shutil
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.hosts.commands import run
from tests.hosts.tree import USER, USER_ID

_RESOLVERS = ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf")
"""the first that there is; the second may name a resolver that listens on this machine's loopback only"""


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
        """Write a file into it, before it boots. Folders on the way are as in the pristine tree, or the owner's."""
        path = self.written / name
        missing = [folder for folder in path.parents if not folder.exists()]
        for folder in reversed(missing):
            model = self.pristine / folder.relative_to(self.written)
            folder.mkdir(mode=0o755 if owner == 0 else 0o700)
            if model.exists():
                shutil.copystat(model, folder)
            has = model.stat() if model.exists() else None
            os.chown(folder, has.st_uid if has else owner, has.st_gid if has else owner)
        path.write_text(text)
        path.chmod(mode)
        os.chown(path, owner, owner)


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
    disk.put(
        "etc/systemd/network/10-management.network", _network("mgmt0", f"{address}/24", gateway)
    )
    disk.put("etc/ssh/ssh_host_ed25519_key", "")
    key = disk.written / "etc/ssh/ssh_host_ed25519_key"
    key.unlink()
    return make_key(key, comment=f"root@{name}")


def give_migration_address(disk: Disk, address: str) -> None:
    """Have it configure its second interface too, which is otherwise left to whoever provisions it."""
    disk.put("etc/systemd/network/20-migration.network", _network("mig0", address))


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
