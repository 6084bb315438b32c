"""Cells: a matrix expanded, shaped, and named so that the name can be read back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.campaign import Campaign, cell_name, expand, names, parse_cell_name
from labctl.campaign.factors import FACTORS, canonical_factor
from labctl.campaign.names import MAX_CELL_NAME
from labctl.errors import InputError
from tests import strategies
from tests.unit.test_campaign_models import campaign


@given(strategies.factor_levels())
def test_name_and_factors_are_a_bijection(factors: dict[str, str]) -> None:
    name = cell_name(factors)
    assert parse_cell_name(name, tuple(factors)) == factors
    assert re.fullmatch(r"[A-Za-z0-9_.,=+-]+", name)


@given(strategies.factor_levels())
def test_a_twins_name_says_whose_it_is(factors: dict[str, str]) -> None:
    """Also where the variant is called `twin`."""
    for known in (factors, factors | {"algorithm": "twin"}):
        name = cell_name(known)
        assert names.twin_of(name) is None
        assert names.twin_of(names.twin_name(name)) == name
        assert parse_cell_name(names.twin_name(name), tuple(known)) == known


@given(strategies.factor_levels(), strategies.factor_levels())
def test_different_factors_have_different_names(one: dict[str, str], other: dict[str, str]) -> None:
    assert (cell_name(one) == cell_name(other)) == (list(one.items()) == list(other.items()))


@given(strategies.campaigns())
def test_cells_are_the_matrix_shaped(found: Campaign) -> None:
    cells = expand(found)
    assert cells
    assert len({cell.name for cell in cells}) == len(cells)
    for cell in cells:
        assert tuple(cell.factors) == found.factors
        assert parse_cell_name(cell.name, found.factors) == cell.factors
        assert len(cell.name) <= MAX_CELL_NAME
        assert not any(
            all(cell.factors[name] == level for name, level in entry.items())
            for entry in found.exclude
        ) or any(entry.items() <= cell.factors.items() for entry in found.include)
        for name, level in cell.factors.items():
            if name != "algorithm":
                factor = FACTORS[name]
                part = getattr(cell, factor.section) if factor.section else cell
                part = getattr(part, factor.inside) if factor.inside else part
                assert factor.scalar.write(getattr(part, factor.field)) == level


@given(st.data())
def test_canonical_levels_are_fixed_points(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(strategies.LEVELS)))
    level = data.draw(strategies.LEVELS[name])
    scalar = FACTORS[name].scalar
    assert scalar.canonical(level) == level
    assert scalar.read(scalar.read(level)) == scalar.read(level)


def test_a_campaign_without_a_matrix_is_one_cell_named_by_its_algorithm() -> None:
    (cell,) = expand(campaign(algorithm="hybrid"))
    assert (cell.name, cell.factors) == ("hybrid", {"algorithm": "hybrid"})


def test_names_read_as_written() -> None:
    found = campaign(
        matrix={"write_rate": ["0MiB/s", "400MiB/s"], "algorithm": ["precopy", "postcopy"]}
    )
    assert [cell.name for cell in expand(found)] == [
        "precopy,write_rate=0MiBps",
        "postcopy,write_rate=0MiBps",
        "precopy,write_rate=400MiBps",
        "postcopy,write_rate=400MiBps",
    ]


def test_exclude_and_include() -> None:
    found = campaign(
        matrix={"algorithm": ["precopy", "postcopy"], "write_rate": ["0MiB/s", "1GiB/s"]},
        exclude=[{"algorithm": "precopy", "guest.write_rate": "1024MiB/s"}],
        include=[{"algorithm": "hybrid", "write_rate": "3GiB/s"}],
    )
    assert [cell.name for cell in expand(found)] == [
        "precopy,write_rate=0MiBps",
        "postcopy,write_rate=0MiBps",
        "postcopy,write_rate=1GiBps",
        "hybrid,write_rate=3GiBps",
    ]


def test_an_option_can_be_a_factor() -> None:
    found = campaign(
        algorithm="fast",
        algorithms={"fast": {"kind": "postcopy", "preempt": True}},
        matrix={"max_bandwidth": ["none", "100MiB/s"], "multifd_channels": [0, 4]},
    )
    cells = expand(found)
    assert [cell.algorithm.max_bandwidth_bytes_per_s for cell in cells] == [
        None,
        None,
        104857600,
        104857600,
    ]
    assert [cell.algorithm.multifd_channels for cell in cells] == [0, 4, 0, 4]
    assert {(c.algorithm.name, c.algorithm.kind, c.algorithm.preempt) for c in cells} == {
        ("fast", "postcopy", True)
    }


@pytest.mark.parametrize("name", ["precopy,vcpus=2", "precopy", "precopy,write_rate=1,x=2", ""])
def test_a_name_of_other_factors_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        parse_cell_name(name, ("algorithm", "write_rate"))


def test_every_factor_has_one_name() -> None:
    for name, factor in FACTORS.items():
        assert canonical_factor(name) == canonical_factor(factor.dotted) == name
    assert canonical_factor("algorithm.name") is None
    assert canonical_factor("name") is None
