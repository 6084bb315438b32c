"""One rack of hosts for all that is measured on them."""

from collections.abc import Iterator

import pytest
from ruamel.yaml import YAML

from labctl.data import data_path
from tests.hosts import Hosts, debian_hosts
from tests.system.rack import NAMES, PAIR, nothing_left

ROLES = ("tools", "qemu", "migration_network")
"""those that install what a run needs on a host"""


def needed() -> list[str]:
    """The packages that these roles would install."""
    packages = set()
    for role in ROLES:
        defaults = data_path(f"playbooks/roles/{role}/defaults/main.yml")
        packages |= set(YAML(typ="safe").load(defaults)[f"{role}_packages"])
    return sorted(packages)


@pytest.fixture(scope="package")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Hosts that somebody has set up by hand: nothing else runs while they are used, and four to provision take two minutes.

    Campaigns on hosts that the playbooks have provisioned: test_ssh_faults.
    """
    folder = tmp_path_factory.mktemp("rack")
    with debian_hosts(NAMES, folder, packages=needed(), migration_addresses=True) as made:
        yield made


@pytest.fixture
def pair(hosts: Hosts) -> Iterator[str]:
    """Two of them as a lab, which is as it was at the end."""
    yield str(hosts.write_inventory("pair.yml", only=PAIR))
    nothing_left(hosts)


@pytest.fixture
def two_pairs(hosts: Hosts) -> Iterator[str]:
    """All four of them as a lab, which is as it was at the end."""
    yield str(hosts.inventory)
    nothing_left(hosts)
