"""One pair of provisioned hosts for all that is measured on it."""

from collections.abc import Iterator

import pytest

from tests.hosts import Hosts
from tests.system.rack import PAIR, nothing_left, rack


@pytest.fixture(scope="package")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with rack(tmp_path_factory.mktemp("rack"), PAIR) as made:
        yield made


@pytest.fixture
def pair(hosts: Hosts) -> Iterator[str]:
    """They as a lab, which is as it was at the end."""
    yield str(hosts.inventory)
    nothing_left(hosts)
