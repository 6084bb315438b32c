"""Campaigns: canonical, complete, and the same again after a file."""

from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from labctl.campaign import Campaign, GuestSpec, dump_campaign, expand, parse_campaign
from labctl.errors import CampaignError
from tests import strategies

GUEST = {"memory": "256MiB", "working_set": "64MiB"}
LINK = {"bandwidth": "1Gbit/s"}


def campaign(**parts: Any) -> Campaign:
    return Campaign.model_validate({"name": "c", "guest": GUEST, "link": LINK} | parts)


@given(strategies.campaigns())
def test_every_legal_campaign_survives_a_file(before: Campaign) -> None:
    text = dump_campaign(before)
    after = parse_campaign(text)
    assert after.source_text == text
    assert after.model_dump() == before.model_dump()
    assert after.order_seed == before.order_seed
    assert dump_campaign(after) == text


def test_what_reads_like_nothing_survives_a_file() -> None:
    before = campaign(
        name="null",
        lab="none",
        algorithm="none",
        algorithms={"none": {"kind": "hybrid"}, "null": {"kind": "hybrid"}},
        matrix={"algorithm": ["precopy"], "max_bandwidth": ["none"]},
        include=[{"algorithm": "null", "max_bandwidth": "none"}],
    )
    assert parse_campaign(dump_campaign(before)).model_dump() == before.model_dump()


@given(strategies.campaigns())
def test_every_legal_campaign_survives_json(before: Campaign) -> None:
    assert Campaign.model_validate_json(before.model_dump_json()) == before


def test_python_takes_base_units_and_texts() -> None:
    in_bytes = GuestSpec(memory_bytes=256 * 2**20, working_set_bytes=64 * 2**20)
    assert in_bytes == GuestSpec.model_validate(GUEST)


@pytest.mark.parametrize(
    "guest",
    [
        {"memory": "31MiB"},
        {"memory": "33000KiB"},
        {"working_set": "4097B"},
        {"vcpus": "33"},
        {"vcpus": 1.5},
        {"vcpus": True},
        {"seed": "-1"},
        {"memory": "256"},
        {"colour": "red"},
    ],
)
def test_what_a_guest_cannot_be(guest: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GuestSpec.model_validate(GUEST | guest)


def test_a_field_that_only_the_matrix_gives_takes_its_first_level() -> None:
    found = campaign(link={}, matrix={"bandwidth": ["2Gbit/s", "1Gbit/s"]})
    assert found.link.bandwidth_bits_per_s == 2_000_000_000
    assert [cell.link.bandwidth_bits_per_s for cell in expand(found)] == [2 * 10**9, 10**9]


def test_levels_and_factors_are_canonical() -> None:
    found = campaign(matrix={"guest.write_rate": ["0.5GiB/s"], "vcpus": [1, 2], "preempt": [True]})
    assert found.matrix == {"write_rate": ("512MiB/s",), "vcpus": ("1", "2"), "preempt": ("true",)}
    assert found.factors == ("algorithm", "write_rate", "vcpus", "preempt")


def test_a_matrix_is_checked_in_python_too() -> None:
    with pytest.raises(CampaignError, match=r"matrix.write_rate\[1\]: `512MiB/s` is a level"):
        campaign(matrix={"write_rate": ["0.5GiB/s", "512MiB/s"]})


def test_built_in_variants_take_options() -> None:
    found = campaign(algorithms={"postcopy": {"kind": "postcopy", "preempt": "true"}})
    assert found.variants["postcopy"].preempt
    assert list(found.variants) == ["stop_and_copy", "precopy", "postcopy", "hybrid"]


def test_the_seed_follows_the_content_unless_it_is_given() -> None:
    assert campaign().order_seed == campaign().order_seed
    assert campaign().order_seed != campaign(link={"bandwidth": "2Gbit/s"}).order_seed
    assert campaign(repetitions=3).order_seed == campaign().order_seed
    assert campaign(seed=7).order_seed == 7


def test_source_text_is_no_part_of_the_content() -> None:
    text = "# a remark\n" + dump_campaign(campaign())
    assert parse_campaign(text).order_seed == campaign().order_seed


def test_a_switch_that_varies_survives_json() -> None:
    """A variant's own switch is the default there, and none that stands in the matrix's way."""
    own = {"h": {"kind": "hybrid"}}
    matrix = {"algorithm": ["h"], "switch.after_passes": ["1", "2"]}
    before = campaign(algorithms=own, matrix=matrix)
    assert Campaign.model_validate_json(before.model_dump_json()) == before
    assert Campaign.model_validate(before.model_dump()) == before


def test_what_is_none_though_the_matrix_varies_it_survives_a_file() -> None:
    before = campaign(qemu="none", matrix={"qemu": ["/usr/bin/qemu-system-x86_64"]})
    after = parse_campaign(dump_campaign(before))
    assert (after.qemu, after.order_seed) == (None, before.order_seed)
