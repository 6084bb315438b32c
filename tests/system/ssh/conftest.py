"""One rack of provisioned hosts for all that is measured on them."""

from collections.abc import Iterator

import pytest

from tests.hosts import Hosts
from tests.system.rack import NAMES, PAIR, nothing_left, rack


@pytest.fixture(scope="package")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with rack(tmp_path_factory.mktemp("rack"), NAMES) as made:
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
