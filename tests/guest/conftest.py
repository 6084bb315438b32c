"""`boot(...)` starts a guest; it ends with the test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.guest.machine import Guest


@pytest.fixture
def boot() -> Iterator[Callable[..., Guest]]:
    """`boot(append, **how)`: a `Guest` that is ended when the test is."""
    guests: list[Guest] = []

    def start(append: str, **how: Any) -> Guest:
        guests.append(Guest(append, **how))
        return guests[-1]

    yield start
    for guest in guests:
        guest.end()
