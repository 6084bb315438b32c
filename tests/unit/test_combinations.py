"""What was found of every combination of options, and the rules: they agree, and the page says it."""

import pytest

from tests.combinations.cases import (
    FOUND_OVER_RDMA,
    Found,
    combinations,
    combinations_over_rdma,
    load,
)
from tests.combinations.page import PAGE, page

NOW_AND_THEN = {"postcopy-loses-writes", "rdma-postcopy-breaks"}
"""rules on what breaks where pages are left to send after the switch"""


def test_the_page_is_that_of_what_was_found() -> None:
    """Else: python -c 'from tests.combinations.page import *; ...', or the command."""
    assert PAGE.read_text() == page(load(), load(FOUND_OVER_RDMA))


@pytest.mark.parametrize("found", [*load(), *load(FOUND_OVER_RDMA)], ids=lambda one: f"{one.qemu}-{one.kind}-{'+'.join(one.options)}")  # fmt: skip
def test_what_no_rule_refuses_works_and_what_one_refuses_does_not(found: Found) -> None:
    if found.rule is None:
        assert found.works, found.reason
    elif found.rule not in NOW_AND_THEN:
        assert not found.works


def test_no_combination_is_tried_that_has_no_use() -> None:
    tried = set(combinations())
    assert ("precopy", ()) in tried
    assert ("precopy", ("preempt",)) not in tried
    assert ("hybrid", ("xbzrle", "preempt")) in tried
    assert ("precopy", ("pin-all",)) not in tried
    assert ("precopy", ("pin-all",)) in set(combinations_over_rdma())
    assert not any(
        len({name.split()[0] for name in options}) < len(options) for _, options in tried
    )
