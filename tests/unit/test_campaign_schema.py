"""The JSON Schema of campaign files takes what the loader takes, and finds what an editor can find."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft7Validator
from typer.testing import CliRunner

from labctl.campaign import Campaign, dump_campaign, parse_campaign
from labctl.campaign.factors import FACTORS
from labctl.campaign.jsonschema import campaign_schema, schema_text
from labctl.campaign.tree import read_tree
from labctl.cli.app import app
from labctl.errors import CampaignError
from tests import strategies

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "docs" / "reference" / "campaign.schema.json"
CAMPAIGNS = [*ROOT.glob("campaigns/*.yaml"), *ROOT.glob("tests/data/runs/*/*/campaign.yaml")]
VALIDATOR = Draft7Validator(campaign_schema())
GOOD = """\
name: c
guest: {memory: 256MiB, working_set: 64MiB}
link: {bandwidth: 1Gbit/s}
"""


def as_an_editor_reads(text: str) -> Any:
    """A file's data with YAML's own reading of its plain scalars (the core schema)."""
    return _core(read_tree(text, "c.yaml").data)


def _core(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _core(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_core(item) for item in value]
    if not isinstance(value, str):
        return value
    if value in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return value.lower() == "true"
    if re.fullmatch(r"[-+]?[0-9]+", value):
        return int(value)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", value):
        return float(value)
    return value


def faults(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(as_an_editor_reads(text))]


def test_the_kept_schema_is_that_of_the_models() -> None:
    """Else: python -m labctl.campaign.jsonschema > docs/reference/campaign.schema.json"""
    assert KEPT.read_text() == schema_text()


def test_it_is_a_schema_and_the_verb_prints_it() -> None:
    Draft7Validator.check_schema(campaign_schema())
    printed = CliRunner().invoke(app, ["schema"])
    assert printed.exit_code == 0
    assert json.loads(printed.stdout) == campaign_schema()


def test_everything_says_what_it_is() -> None:
    """An editor shows the description of what is pointed at."""
    for key, part in campaign_schema()["properties"].items():
        assert part.get("description") or key in ("algorithms", "matrix", "exclude", "include")
        for inner in part.get("properties", {}).values():
            assert inner["description"]
    assert set(campaign_schema()["definitions"]) == set(FACTORS)


@pytest.mark.parametrize("path", CAMPAIGNS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_campaign_that_is_kept_passes(path: Path) -> None:
    assert faults(path.read_text()) == []


@settings(suppress_health_check=list(HealthCheck))
@given(strategies.campaigns())
def test_every_legal_campaign_passes(campaign: Campaign) -> None:
    assert faults(dump_campaign(campaign)) == []


@pytest.mark.parametrize(
    "added",
    [
        "matrix: {memory: [1GiB, 2GiB]}\nlimits: {total_time: 1.5 min}",
        "matrix: {guest.write_rate: [0MiBps, 8Mbit/s], preempt: [true], seed: [1, '2']}",
        "algorithms: {h2: {kind: hybrid, preempt: 'True', max_bandwidth: none}}\nseed:",
        "repetitions: '4'\nnoise: {}",
        "repetitions: {until: {relative_interval: 2.5 %}}\nnoise: {aa: true, of: {}}",
        "repetitions: {until: {relative_interval: 5%, of: [blackout]}, min: 8, max: '40'}",
        "matrix: {write_rate: [0MiB/s]}\nnoise: {aa: True, of: {guest.write_rate: 0MiBps}}",
    ],
)
def test_every_spelling_passes(added: str) -> None:
    parse_campaign(f"{GOOD}{added}\n")
    assert faults(f"{GOOD}{added}\n") == []


def test_what_only_the_matrix_gives_is_not_missing() -> None:
    text = (
        "name: c\nguest: {working_set: 1MiB}\nmatrix: {link.bandwidth: [1Gbit/s], memory: [1GiB]}\n"
    )
    parse_campaign(text)
    assert faults(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "guest: {memory: 256MiB, working_set: 64MiB}\nlink: {bandwidth: 1Gbit/s}\n",
        GOOD.replace(", working_set: 64MiB", ""),
        GOOD.replace("link:", "limits:"),
        GOOD.replace("name: c", "name: my campaign"),
        *(
            f"{GOOD}{added}\n"
            for added in [
                "repetitons: 3",
                "repetitions: many",
                "repetitions: 0",
                "limits: {total_time: 10}",
                "limits: {total_time: 10m}",
                "limits: {downtime_s: 1s}",
                "limits: 3",
                "transport: rmda",
                "algorithms: {x: {}}",
                "algorithms: {x: precopy}",
                "algorithms: {X: {kind: precopy}}",
                "algorithms: {x: {kind: hybrid, preemt: true}}",
                "algorithms: {x: {kind: hybrid, name: y}}",
                "matrix: {}",
                "matrix: {write_rte: [0MiB/s]}",
                "matrix: {write_rate: 0MiB/s}",
                "matrix: {write_rate: [40]}",
                "matrix: {write_rate: [40Mib/s]}",
                "matrix: {preempt: [maybe]}",
                "matrix: {vcpus: [1, 33]}",
                "exclude: {vcpus: 1}",
                "include: [{}]",
                "source_text: x",
                "repetitions: {}",
                "repetitions: {until: 5%}",
                "repetitions: {until: {relative_interval: 5}}",
                "repetitions: {until: {relative_interval: 5%}, min: 5}",
                "repetitions: {until: {relative_interval: 5%, of: [blackot]}}",
                "repetitions: {until: {relative_interval: 5%, of: []}}",
                "noise: true",
                "noise: {aa: maybe}",
                "noise: {of: {vcps: 1}}",
            ]
        ),
    ],
)
def test_typical_faults_are_found(text: str) -> None:
    with pytest.raises(CampaignError):
        parse_campaign(text)
    assert faults(text)


def test_init_points_an_editor_at_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["init", "mine", "--schema"])
    assert done.exit_code == 0
    first, _, rest = (tmp_path / "mine.yaml").read_text().partition("\n")
    name = first.removeprefix("# yaml-language-server: $schema=")
    assert json.loads((tmp_path / name).read_text()) == campaign_schema()
    assert faults(rest) == []
