"""The reference of campaign files says what the models say, and its examples load."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from labctl.campaign import Campaign, expand, parse_campaign
from labctl.campaign.factors import FACTORS
from labctl.campaign.profiles import BurstSpec, ProfileSpec, StepSpec
from labctl.campaign.repetitions import METRICS, NoiseSpec, RepetitionsSpec, UntilSpec
from labctl.campaign.scalars import Scalar
from labctl.campaign.specs import (
    AlgorithmSpec,
    GuestSpec,
    LimitsSpec,
    LinkSpec,
    Spec,
    TimingSpec,
    file_name_of,
)

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "campaign.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def rows(model: type[Spec]) -> Iterator[str]:
    """A row of the page for each field that holds one value."""
    for field, info in model.model_fields.items():
        scalars = [extra for extra in info.metadata if isinstance(extra, Scalar)]
        if scalars:
            default = "" if info.is_required() else f"`{scalars[0].write(info.default)}`"
            yield f"| `{file_name_of(field)}` | {default} | {info.description} |"


@pytest.mark.parametrize(
    "model",
    [
        Campaign,
        GuestSpec,
        LinkSpec,
        LimitsSpec,
        AlgorithmSpec,
        TimingSpec,
        ProfileSpec,
        BurstSpec,
        StepSpec,
        RepetitionsSpec,
        UntilSpec,
        NoiseSpec,
    ],
)
def test_every_field_has_its_row(model: type[Spec]) -> None:
    for row in rows(model):
        assert row in PAGE


def test_every_factor_and_metric_is_named() -> None:
    assert all(f"`{name}`" in PAGE for name in (*FACTORS, *METRICS))


def test_the_examples_load() -> None:
    whole, shaped = (parse_campaign(text) for text in EXAMPLES)
    assert len(expand(whole)) == 9
    assert [cell.name for cell in expand(shaped)] == [
        "precopy,memory=1GiB",
        "precopy,memory=4GiB",
        "hybrid2,memory=1GiB",
        "stop_and_copy,memory=8GiB",
    ]
