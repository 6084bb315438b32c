"""Thousands of broken campaign files: each is refused with its line and its mend, or is legal after all and survives."""

import random
import re
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from labctl.campaign import Campaign, dump_campaign, expand, load_campaign, parse_campaign
from labctl.campaign.factors import scalar_fields
from labctl.campaign.loader import MAX_BYTES
from labctl.errors import CampaignError
from tests import strategies
from tests.mutations import mutant

CPU_S = 2.0
"""What no file of a few kilobytes takes, on a machine that is slow and busy."""

A_CAMPAIGN = 25
"""broken files made of each legal one"""

LINE_END = re.compile(rb"\r\n|\r|\n|\xc2\x85|\xe2\x80[\xa8\xa9]")
"""What YAML takes for the end of a line."""


def try_file(file: Path) -> str:
    """`broken` or `legal`; anything else that a loader could do with a file is a failure."""
    started = time.thread_time()
    try:
        campaign = load_campaign(file)
    except CampaignError as error:
        faults = error.faults
        found = "broken"
    else:
        faults = ()
        found = "legal"
        assert expand(campaign)
        survives(campaign)
    lines = len(LINE_END.split(file.read_bytes()))
    for fault in faults:
        place, line = (fault.place or "").rsplit(":", 1)
        assert (place, 1 <= int(line) <= lines) == (str(file), True)
        assert fault.fault
        assert fault.mend
        assert len(str(fault)) < 2000
        assert str(fault).replace("\n  mend: ", "").isprintable()
    assert time.thread_time() - started < CPU_S
    return found


def survives(before: Campaign) -> None:
    """Nothing of a campaign is lost on its way through a file."""
    text = dump_campaign(before)
    after = parse_campaign(text)
    assert after.model_dump() == before.model_dump()
    assert (after.order_seed, dump_campaign(after)) == (before.order_seed, text)


def throw(count: int, file: Path) -> None:
    """Broken files, `count` of them at least, made of legal campaigns of every kind."""
    seen: Counter[str] = Counter()

    @settings(
        max_examples=count // A_CAMPAIGN,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
    )
    @given(strategies.campaigns(), st.integers(0, 2**63))
    def broken(campaign: Campaign, seed: int) -> None:
        rng, text = random.Random(seed), dump_campaign(campaign)
        enough = seen["broken"] + A_CAMPAIGN
        while seen["broken"] < enough:
            file.write_bytes(mutant(rng, text))
            try:
                seen[try_file(file)] += 1
            except BaseException as error:
                error.add_note(f"the file: {file.read_bytes()[:4000]!r}")
                raise

    broken()
    assert seen["broken"] >= count
    assert seen["legal"] < seen["broken"], "most accidents break a file"


def test_a_broken_file_is_refused_with_its_line_and_mend(tmp_path: Path) -> None:
    throw(500, tmp_path / "c.yaml")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_broken_files(tmp_path: Path) -> None:
    throw(10_000, tmp_path / "c.yaml")


@pytest.mark.slow
@settings(max_examples=2_000, suppress_health_check=list(HealthCheck))
@given(strategies.campaigns())
def test_two_thousand_legal_campaigns_survive_a_file(before: Campaign) -> None:
    survives(before)


def test_every_scalar_of_the_models_is_thrown() -> None:
    """A field that is added is drawn without a word here: strategies are made from the models."""
    drawn = set(strategies.LEVELS) | {"algorithm", "name", "lab", "repetitions", "warmups"}
    for name, model in strategies.SECTIONS.items():
        for field in scalar_fields(name, model):
            assert {field.key, field.dotted} & drawn or name == "timing"


def test_a_file_too_large_to_be_a_campaign_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(CampaignError, match="larger than 1 MiB"):
        load_campaign(file)
    with pytest.raises(CampaignError, match="larger than 1 MiB"):
        load_campaign("/dev/zero")


def test_a_fault_that_quotes_a_file_is_fit_for_a_terminal(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text('name: "\\e[2J"\nguest: {"\\u202e": 1, memory: ' + "9" * 3000 + "}\n")
    with pytest.raises(CampaignError) as caught:
        load_campaign(file)
    said = str(caught.value)
    assert "\\x1b[2J" in said
    assert "\\u202e" in said
    assert said.replace("\n", "").isprintable()
    assert max(map(len, said.splitlines())) < 800


def test_thousands_of_excludes_and_includes_are_quick() -> None:
    """As many entries as cells: comparing each with each would take 64 times as long for 8 times as many."""

    def took_s(count: int) -> float:
        head = "name: c\nguest: {memory: 256MiB, working_set: 64MiB}\nlink: {bandwidth: 1Gbit/s}\n"
        text = head + f"matrix: {{seed: {list(range(count))}}}\n"
        text += "exclude:\n" + "".join(f"  - {{seed: {n}}}\n" for n in range(count - 1))
        more = range(count, count + count // 2)
        text += "include:\n" + "".join(f"  - {{seed: {n}}}\n" for n in more)
        started = time.thread_time()
        assert len(expand(parse_campaign(text))) == 1 + len(more)
        return time.thread_time() - started

    took_s(500)
    few_s = min(took_s(500) for _ in range(3))
    assert took_s(4000) < 3 * 8 * few_s
