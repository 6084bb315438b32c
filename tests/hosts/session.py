"""A session of hosts: makes them, describes them as a lab, and removes them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.hosts.control import RackProcess
from tests.hosts.disk import give_migration_address, make_disk, make_its_own, make_key
from tests.hosts.host import Host, boot
from tests.hosts.numbers import MIGRATION
from tests.hosts.tree import pristine

MOST = 4
Variables = Mapping[str, Mapping[str, Any]]


class Hosts:
    """Hosts by name, in the order they were asked for.

    :ivar inventory: an Ansible inventory of them, as root.
    :ivar key: the private key that opens root and the user `lab` on each.
    :ivar known_hosts: the host keys of all, for OpenSSH.
    """

    def __init__(self, rack: RackProcess) -> None:
        self.rack = rack
        self.folder = rack.folder
        self.key = self.folder / "key"
        self.known_hosts = self.folder / "known_hosts"
        self.inventory = self.folder / "inventory.yml"
        self._hosts: dict[str, Host] = {}

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts.values())

    def __len__(self) -> int:
        return len(self._hosts)

    def write_inventory(
        self,
        name: str,
        *,
        user: str = "root",
        variables: Variables | None = None,
        only: Sequence[str] = (),
    ) -> Path:
        """Write another inventory of the same hosts: for another user, with other variables of hosts, of some of them."""
        path = self.folder / name
        described = {
            host.name: {**self._described(host, user), **(variables or {}).get(host.name, {})}
            for host in self
            if host.name in (only or self._hosts)
        }
        yaml = YAML()
        yaml.width = 1000
        with path.open("w") as file:
            yaml.dump({"all": {"children": {"hypervisors": {"hosts": described}}}}, file)
        return path

    def _described(self, host: Host, user: str) -> dict[str, Any]:
        return {
            "ansible_host": host.address,
            "ansible_user": user,
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": " ".join(_strict(self.known_hosts)),
            "ansible_python_interpreter": "/usr/bin/python3",
            "labctl_migration_interface": MIGRATION,
            "labctl_migration_address": host.migration_address,
        }

    def _add(
        self, names: Sequence[str], tree: Path, *, migration_addresses: bool, kernel: bool
    ) -> None:
        number = self.rack.number
        client_key = make_key(self.key, "who uses the test hosts")
        known = ""
        options = (
            *("-F", "none", "-i", str(self.key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"),
            *_strict(self.known_hosts),
        )
        for index, name in enumerate(names):
            disk = make_disk(self.folder / name, tree)
            address = number.address(index)
            migration_address = number.migration_address(index)
            public = make_its_own(disk, name, address, number.controller, client_key)
            if migration_addresses:
                give_migration_address(disk, migration_address)
            known += f"{address} {public}"
            self._hosts[name] = Host(
                name, address, migration_address, disk, options, self.rack, kernel
            )
        self.known_hosts.write_text(known)

    def _boot(self) -> None:
        disks = {host.name: [str(host.disk.pristine), host.disk.layered] for host in self}
        self.rack.ask("place", disks=disks)
        boot(list(self))


@contextmanager
def debian_hosts(
    names: Sequence[str],
    folder: Path | None = None,
    *,
    user: str = "root",
    variables: Variables | None = None,
    packages: Sequence[str] = (),
    migration_addresses: bool = False,
    kernel: bool = False,
) -> Iterator[Hosts]:
    """Make up to four hosts and boot them side by side; they and all that was made for them are gone at the end.

    Args:
        names: of the hosts.
        folder: an empty or new folder for keys, inventory and disks; only the disks go at the end. Else one that goes altogether.
        user: that the inventory names: root, or lab, who may sudo.
        variables: more of the inventory, by host.
        packages: that they have from the start.
        migration_addresses: whether hosts configure their second interface themselves.
        kernel: whether hosts may write this machine's kernel settings (`/proc/sys`, `/sys`); who does puts them back.

    :raise HostsError: when they cannot be made. What a machine lacks for it, :func:`missing_hosts` says before.
    """
    if not 1 <= len(names) <= MOST or len(set(names)) != len(names):
        raise ValueError(f"one to {MOST} hosts of different names, not {list(names)}")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ValueError(
                f"{folder}: not empty, and what hosts have there is removed at the end"
            )
    with pristine(packages) as tree:
        rack = RackProcess(folder)
        try:
            hosts = Hosts(rack)
            hosts._add(names, tree, migration_addresses=migration_addresses, kernel=kernel)
            hosts.write_inventory(hosts.inventory.name, user=user, variables=variables)
            hosts._boot()
            yield hosts
        finally:
            rack.close()


def _strict(known_hosts: Path) -> list[str]:
    return ["-o", f"UserKnownHostsFile={known_hosts}", "-o", "StrictHostKeyChecking=yes"]
