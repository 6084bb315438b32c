"""Who a virtual host is: its name, addresses, keys and who may log in, as a tar that it lays over its disk as it boots."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

NAME = "opt/labctl/seed"
"""of QEMU's fw_cfg"""
MANAGEMENT, MIGRATION = "mgmt0", "mig0"
"""the interfaces, as they are called in a host"""
KEY_S = 10.0
_NETWORKD = "etc/systemd/network"


def pack(path: Path, host: dict[str, str], macs: dict[str, str], authorized_key: str) -> str:
    """Write a host's tar; its public host key. `macs`: of its interfaces `management` and `migration`."""
    key, public = _host_key()
    # The migration network's addresses are the role migration_network's to set; it is only named here.
    files = {
        "etc/hostname": f"{host['name']}\n",
        "etc/hosts": f"127.0.0.1 localhost\n{host['address']} {host['name']}\n",
        "etc/ssh/ssh_host_ed25519_key": key,
        "etc/ssh/ssh_host_ed25519_key.pub": f"{public}\n",
        "root/.ssh/authorized_keys": f"{authorized_key}\n",
        f"{_NETWORKD}/10-management.link": _link(macs["management"], MANAGEMENT),
        f"{_NETWORKD}/10-management.network": (
            f"[Match]\nName={MANAGEMENT}\n[Network]\nAddress={host['address']}/24\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n"
        ),
        f"{_NETWORKD}/10-migration.link": _link(macs["migration"], MIGRATION),
    }
    secret = {"etc/ssh/ssh_host_ed25519_key", "root/.ssh/authorized_keys"}
    path.touch(mode=0o600)
    with tarfile.open(path, "w") as tar:
        for folder, mode in (("root", 0o700), ("root/.ssh", 0o700)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name, content in files.items():
            data = content.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600 if name in secret else 0o644
            tar.addfile(entry, io.BytesIO(data))
    return public


def _link(mac: str, name: str) -> str:
    return f"[Match]\nMACAddress={mac}\n[Link]\nName={name}\n"


def _host_key() -> tuple[str, str]:
    """A new key: the private half, the public one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)],
            check=True,
            stdin=subprocess.DEVNULL,
            timeout=KEY_S,
        )
        return path.read_text(), path.with_suffix(".pub").read_text().strip()
