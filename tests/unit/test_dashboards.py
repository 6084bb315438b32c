"""The dashboards in dashboards/, and the rules and the page beside them: what they are generated from, and that what they ask for exists."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from ruamel.yaml import YAML

from labctl.migration.states import TRANSITIONS
from labctl.monitoring.grafana import DATASOURCE
from labctl.monitoring.metric import COMMON
from labctl.monitoring.metrics import all_metrics
from scripts.boards.panels import COLOURS
from scripts.boards.written import texts
from tests.grafana_schema import Schema, schema_of

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "dashboards"
RULES = FOLDER / "rules" / "labctl.rules.yml"
CONSOLE = FOLDER / "console" / "labctl.html"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
METRICS = {metric.full_name: metric for metric in all_metrics()}
NODE = {
    "node_cpu_seconds_total",
    "node_memory_MemTotal_bytes",
    "node_memory_MemAvailable_bytes",
    "node_network_transmit_bytes_total",
    "node_network_transmit_drop_total",
    "node_infiniband_port_data_transmitted_bytes_total",
    "node_infiniband_port_discards_received_total",
    "node_infiniband_port_discards_transmitted_total",
    "node_infiniband_port_transmit_wait_total",
}
"""of node_exporter, whose collectors are `cpu`, `meminfo`, `netdev` and `infiniband`"""
VARIABLES = {"datasource", "lab", "campaign", "run", "algorithm", "transport"}
board_by_name = pytest.mark.parametrize("name", BOARDS)


def panels(name: str) -> list[dict[str, Any]]:
    """Without rows, which are headings."""
    return [panel for panel in BOARDS[name]["panels"] if panel["type"] != "row"]


def models(name: str) -> Any:
    """A module of the SDK's models. They warn when they are loaded; scripts.boards has done so, and says why."""
    return import_module(f"grafana_foundation_sdk.models.{name}")


def rules() -> list[dict[str, Any]]:
    groups = YAML(typ="safe").load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


# Where they come from, and what they are


def test_they_are_as_the_generator_writes_them() -> None:
    """`python -m scripts.boards` writes them anew."""
    assert {path: path.read_text() for path in FOLDER.glob("*.json")} == texts()


@board_by_name
def test_each_is_valid_by_the_schema_of_the_sdk(name: str) -> None:
    faults = list(schema_faults(BOARDS[name]))
    assert not faults, "\n".join(faults)


@board_by_name
def test_the_sdk_reads_all_of_it(name: str) -> None:
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins

    register_default_plugins()
    read = models("dashboard").Dashboard.from_json(BOARDS[name])
    assert json.loads(JSONEncoder().encode(read)) == BOARDS[name]


def schema_faults(board: dict[str, Any]) -> Iterator[str]:
    """Of the dashboard, of what each kind of panel has of its own, and of what data sources are asked."""
    asked = {
        "grafana": models("dashboard").AnnotationTarget,
        "prometheus": models("prometheus").Dataquery,
    }
    yield from _faults(board, models("dashboard").Dashboard, board["uid"])
    for panel in board["panels"]:
        if panel["type"] == "row":
            continue
        kind = models(panel["type"].replace("-", ""))
        yield from _faults(panel["options"], kind.Options, panel["title"])
        custom = panel.get("fieldConfig", {"defaults": {}})["defaults"].get("custom")
        if custom is not None:
            yield from _faults(custom, kind.FieldConfig, panel["title"])
        for target in panel.get("targets", []):
            yield from _faults(target, asked["prometheus"], panel["title"])
    for query in board["annotations"].get("list", []):
        yield from _faults(query["target"], asked[query["datasource"]["type"]], query["name"])


def _faults(value: Any, model: type, place: str) -> Iterator[str]:
    schema = _SCHEMAS.setdefault(model, schema_of(model))
    for fault in jsonschema.Draft7Validator(schema).iter_errors(value):
        error = jsonschema.exceptions.best_match(
            [fault]
        )  # of a panel that is none of several kinds
        yield f"{place}: {list(error.absolute_path)}: {error.message[:200]}"


_SCHEMAS: dict[type, Schema] = {}


def test_the_schema_finds_what_is_wrong() -> None:
    board = json.loads(json.dumps(BOARDS["migration"]))
    assert not list(schema_faults(board))
    board["titel"] = "?"
    board["templating"]["list"][1]["refresh"] = 7
    board["panels"][1]["gridPos"]["w"] = "24"
    board["panels"][2]["fieldConfig"]["defaults"]["mappings"][0]["options"]["1"]["colour"] = "red"
    board["panels"][3]["options"]["legend"]["placement"] = "somewhere"
    board["panels"][3]["fieldConfig"]["defaults"]["custom"]["lineWidht"] = 1
    board["panels"][3]["targets"][0]["expression"] = "up"
    board["annotations"]["list"][0]["enabled"] = True
    del board["annotations"]["list"][1]["target"]["tags"]
    found = "\n".join(schema_faults(board))
    for part in ("titel", "'refresh'", "'panels', 1", "'panels', 2", "somewhere", "lineWidht"):
        assert part in found
    for part in ("expression", "enabled", "'tags' is a required property"):
        assert part in found


# What a newcomer sees


@board_by_name
def test_the_first_panel_tells_what_it_shows(name: str) -> None:
    board, first = BOARDS[name], BOARDS[name]["panels"][0]
    assert (first["type"], first["title"]) == ("text", "What this shows")
    assert first["options"]["content"] == board["description"]
    assert len(board["description"]) > 100
    assert first["gridPos"] == {"x": 0, "y": 0, "w": 24, "h": first["gridPos"]["h"]}
    assert board["uid"] == f"labctl-{name}"


@board_by_name
def test_every_panel_has_a_title_and_says_what_it_shows(name: str) -> None:
    for panel in panels(name):
        assert panel["title"], panel
        assert re.search(r"\w.*[.?]$", panel["description"]), panel["title"]
    assert all(panel["title"] for panel in BOARDS[name]["panels"])


@board_by_name
def test_panels_fit_the_grid_and_do_not_overlap(name: str) -> None:
    places = [panel["gridPos"] for panel in BOARDS[name]["panels"]]
    for one in places:
        assert one["x"] >= 0
        assert one["x"] + one["w"] <= 24
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (name, one, other)


def test_dashboards_are_told_apart() -> None:
    assert set(BOARDS) == {"campaign", "comparison", "hosts", "migration"}
    for key in ("uid", "title"):
        assert len({board[key] for board in BOARDS.values()}) == len(BOARDS)
    for name, board in BOARDS.items():
        titles = [panel["title"] for panel in panels(name)]
        assert len(set(titles)) == len(titles)
        assert not board.keys() & {"id", "version"}  # they are of one Grafana


@board_by_name
def test_variables(name: str) -> None:
    """A host's figures have no algorithm and no transport, so `hosts` has no such variables."""
    known = {variable["name"]: variable for variable in BOARDS[name]["templating"]["list"]}
    more = {"migration": {"trial"}, "hosts": {"host"}}.get(name, set())
    fewer = {"hosts": {"algorithm", "transport"}}.get(name, set())
    assert set(known) == (VARIABLES - fewer) | more
    assert next(iter(known)) == "datasource"
    assert known["datasource"]["current"]["value"] == DATASOURCE
    asked = json.dumps([BOARDS[name]["panels"], BOARDS[name]["templating"]])
    for variable in known:
        assert re.search(rf"\$(\{{{variable}\}}|{variable}\b)", asked), variable
    used = set(re.findall(r"\$\{?([a-z]\w*)", asked)) - known.keys()
    assert not used, "no such variable"


def test_a_trial_opens_on_its_own_axis() -> None:
    """The link of the table hands over variables that `migration` has."""
    table = next(panel for panel in panels("campaign") if panel["type"] == "table")
    link = re.search(r'"url": "(/d/[^"]*)"', json.dumps(table))
    assert link is not None
    target, _, handed = link[1].partition("?")
    assert target == f"/d/{BOARDS['migration']['uid']}"
    names = [part.partition("=")[0] for part in handed.split("&")]
    known = {f"var-{variable['name']}" for variable in BOARDS["migration"]["templating"]["list"]}
    assert set(names) - known == {"from", "to"}
    assert "began.numeric" in handed, "the formatted time is no time to Grafana"


def test_samples_are_shown_as_close_as_they_are() -> None:
    targets = [target for panel in panels("migration") for target in panel.get("targets", [])]
    assert {target["interval"] for target in targets} == {"10ms"}


def test_each_phase_has_its_colour() -> None:
    assert set(COLOURS) == set(TRANSITIONS) - {"", "closed"}


# What they ask for


def expressions(name: str) -> Iterator[str]:
    """Every PromQL expression of a dashboard."""
    board = BOARDS[name]
    for panel in panels(name):
        yield from (target["expr"] for target in panel.get("targets", []))
    for query in board["annotations"].get("list", []):
        if query["datasource"]["type"] == "prometheus":
            yield query["target"]["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert asked is not None, variable["query"]
            yield asked[1]


def names_in(expression: str) -> set[str]:
    """The metrics of a PromQL expression: names that are no function, keyword, label, duration or text."""
    bare = re.sub(r'"[^"]*"|\'[^\']*\'|`[^`]*`', '""', expression)
    bare = re.sub(r"\{[^{}]*\}|\[[^\[\]]*\]", "", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)", "", bare)
    words = re.findall(r"(?<![\w$.:])([a-zA-Z_:][\w:]*)(?!\s*\(|[\w:])", bare)
    return set(words) - {"and", "or", "unless", "bool", "offset", "sum", "min", "max", "abs"}


def known(name: str) -> bool:
    stem = re.sub(r"_(bucket|sum|count)$", "", name)
    of_histogram = stem != name and stem in METRICS and METRICS[stem].kind == "histogram"
    plain = name in METRICS and METRICS[name].kind != "histogram"
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    return plain or of_histogram or name in NODE or name in recorded


def test_names_are_found_in_expressions() -> None:
    assert names_in(
        'sum by (a_label) (rate(x_total{l="y_text", m=~"b_text"}[$__range:1s])) * on (c) group_left () '
        "(max without (job) (z:w) == 1) or time() - abs(v) > 3e2"
    ) == {"x_total", "z:w", "v"}
    assert names_in("sum(up) by (job)") == {"up"}
    assert not known("labctl_trials")
    assert not known("labctl_trial_total_time_seconds")
    assert known("labctl_trial_total_time_seconds_bucket")


@board_by_name
def test_every_metric_of_a_dashboard_exists(name: str) -> None:
    names = set().union(*map(names_in, expressions(name)))
    assert len(names) > 5
    assert not [metric for metric in names if not known(metric)]


def test_every_metric_of_the_rules_exists() -> None:
    names = set().union(*(names_in(rule["expr"]) for rule in rules()))
    assert len(names) > 5
    assert not [metric for metric in names if not known(metric)]


def test_every_metric_of_the_page_exists() -> None:
    names = set(re.findall(r"\blabctl[_:][\w:]+", CONSOLE.read_text()))
    assert len(names) > 5
    assert not [metric for metric in names if not known(metric)]


def test_every_label_that_is_selected_by_exists() -> None:
    """Of labctl's metrics; what is selected by a label that is not there is nothing, or everything."""
    asked = [*(text for name in BOARDS for text in expressions(name)), CONSOLE.read_text()]
    for metric, selection in re.findall(r"(labctl_\w+)\{([^{}]*)\}", "\n".join(asked)):
        labels = set(re.findall(r"(\w+)\s*=?[=!~]", selection))
        info = METRICS[re.sub(r"_(bucket|sum|count)$", "", metric)]
        assert labels <= {*COMMON, *info.labels, "job"}, (metric, selection)  # Prometheus' own


# Prometheus itself


def promtool(*args: str | Path) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool: it is not in PATH (`apt-get install prometheus`)")
    done = subprocess.run(
        ["promtool", *args], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules() -> None:
    promtool("check", "rules", RULES)
    promtool("test", "rules", RULES.with_name("labctl.test.yml"))


def test_promtool_takes_every_expression_of_the_dashboards(tmp_path: Path) -> None:
    chosen = {"__range": "1h", "__rate_interval": "1m"}
    found = [
        re.sub(r"\$(\w+)", lambda variable: chosen.get(variable[1], "any"), text)
        for name in BOARDS
        for text in expressions(name)
    ]
    group = [{"record": f"expression:{n}", "expr": text} for n, text in enumerate(found)]
    file = tmp_path / "rules.yml"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": group}]}))
    assert f"{len(found)} rules found" in promtool("check", "rules", file)


def test_every_alert_has_its_place_in_the_docs() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) > 3
    for alert in alerts:
        page, _, anchor = alert["annotations"]["runbook"].partition("#")
        text = (ROOT / "docs" / page).read_text()
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = [re.sub(r"[^\w]+", "-", heading.lower()).strip("-") for heading in headings]
        assert anchor in anchors, alert["alert"]
        assert alert["alert"] in text
        assert alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in {"warning", "critical"}


@board_by_name
def test_its_picture_in_the_docs_shows_every_panel(name: str) -> None:
    """`python -m scripts.pictures` draws them anew."""
    picture = ROOT / "docs" / "pictures" / f"{name}.svg"
    texts = ET.parse(picture).iter("{http://www.w3.org/2000/svg}text")
    said = {"".join(text.itertext()).strip() for text in texts}
    headings = {panel["title"] for panel in BOARDS[name]["panels"]} - {"What this shows"}
    assert headings <= said


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "pictures").glob("*.svg")), ids=str)
def test_pictures_fetch_nothing(picture: Path) -> None:
    """Addresses are names of formats only."""
    addresses = set(re.findall(r"https?://[^\s\"')<]+", picture.read_text()))
    known = {"www.w3.org", "purl.org", "creativecommons.org", "matplotlib.org", "www.textualize.io"}
    assert {urlsplit(address).hostname for address in addresses} <= known
