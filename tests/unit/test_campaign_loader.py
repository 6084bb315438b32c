"""The loader: each fault with file, line and mend, all of a file at once, and never a traceback."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labctl.campaign import Campaign, expand, load_campaign, make_plan, parse_campaign
from labctl.errors import CampaignError
from tests import strategies

QUICKSTART = Path(__file__).parents[2] / "campaigns" / "quickstart.yaml"
GOOD = """\
name: c
guest: {memory: 256MiB, working_set: 64MiB}
link: {bandwidth: 1Gbit/s}
"""
UNTIL = "repetitions:\n  until:\n    relative_interval: 5%"


def faults_of(text: str) -> list[CampaignError]:
    with pytest.raises(CampaignError) as caught:
        parse_campaign(text, "c.yaml")
    return list(caught.value.faults)


def test_quickstart_is_the_plan_that_is_promised() -> None:
    campaign = load_campaign(QUICKSTART)
    assert campaign.source_text == QUICKSTART.read_text()
    assert len(expand(campaign)) == 9
    assert [trial.warmup for trial in make_plan(campaign).trials].count(False) == 27
    assert all(trial.supported for trial in make_plan(campaign).trials)
    assert campaign.limits.total_time_s == 10.0


def test_a_legal_file_with_anchors_comments_and_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    text = GOOD + "matrix:\n  write_rate: &rates [0MiB/s, 1MiB/s]  # both\n"
    file.write_text(text, encoding="utf-8-sig")
    assert load_campaign(file).matrix == {"write_rate": ("0MiB/s", "1MiB/s")}


@pytest.mark.parametrize(
    ("added", "line", "fault", "mend"),
    [
        ("repetitons: 3", 4, "`repetitons` is not a key of a campaign", "`repetitions`"),
        ("write_rate: 1MiB/s", 4, "not a key of a campaign", "belongs under `guest`"),
        ("preempt: true", 4, "not a key of a campaign", "a variant under `algorithms`"),
        ("timing: {bandwidth: 1Gbit/s}", 4, "not a key of `timing`", "belongs under `link`"),
        ("timing: {settl: 1s}", 4, "not a key of `timing`", "`settle`"),
        ("source_text: x", 4, "not a key", ""),
        ("repetitions: many", 4, "not a whole number", "digits"),
        ("repetitions: 0", 4, "too small", "1 or more"),
        ("repetitions: [3]", 4, "a list is not", "a whole number"),
        ("name: d", 4, "`name` is given twice: first in line 1", "one of the two"),
        ("limits: {total_time: 10}", 4, "has no unit", "300ms"),
        ("limits:", 4, "`limits` is nothing", "limits: {...}"),
        ("limits: 3", 4, "`limits` is `3`", "limits: {...}"),
        ("limits:\n  downtme: 300ms", 5, "`downtme` is not a key of `limits`", "`downtime`"),
        ("limits: {downtime_s: 1s}", 4, "`downtime_s` is not a key", "`downtime`"),
        ("transport: rmda", 4, "not one of tcp, rdma", "`rdma`"),
        ("algorithm: postcpy", 4, "not one of", "`postcopy`"),
        ("algorithm: [precopy]", 4, "is a list", "one value"),
        ("lab: !home x", 4, "is a tag", "leave tags out"),
        ("? [a, b]\n: c", 4, "not a word", "key: value"),
        ("seed: -4", 4, "too small", "0 or more"),
        ("timing: {baseline: 1ms}", 4, "too small", "100ms"),
        ("matrix: {}", 4, "the matrix is empty", "leave it out"),
        ("matrix:", 4, "the matrix is nothing", "factor"),
        ("matrix: [a]", 4, "the matrix is a list", "factor"),
        ("matrix: {write_rte: [0MiB/s]}", 4, "not a factor", "`write_rate`"),
        ("matrix: {write_rate: 0MiB/s}", 4, "no list", "write_rate: [...]"),
        ("matrix: {write_rate: []}", 4, "no levels", "leave it out"),
        ("matrix:\n  write_rate:\n    - 0MiB/s\n    - 40", 7, "no unit", "40MiB/s"),
        ("matrix: {write_rate: [1MiB/s, 1024KiB/s]}", 4, "already (it is 1MiB/s)", "once"),
        ("matrix: {write_rate: [[1MiB/s]]}", 4, "is a list", "one value"),
        ("matrix: {write_rate: [1MiB/s], guest.write_rate: [2MiB/s]}", 4, "twice", "one list"),
        ("matrix: {preempt: [yes]}", 4, "neither true nor false", "true or false"),
        (f"matrix: {{seed: {list(range(10_001))}}}", 4, "10001 cells", "at most 10000"),
        ("matrix: {vcpus: [1, 2]}\nexclude: [{vcpus: 3}]", 5, "matches no cell", "1, 2"),
        ("matrix: {vcpus: [1, 2]}\nexclude: [{vcpus: 1}, {vcpus: 1}]", 5, "no cell that", "out"),
        ("matrix: {vcpus: [1]}\nexclude: [{vcpus: 1}]", 5, "no cell is left", "include"),
        ("matrix: {vcpus: [1]}\nexclude: [{seed: 1}]", 5, "not a factor of the matrix", "vcpus"),
        ("matrix: {vcpus: [1]}\nexclude: [3]", 5, "not an entry", "{factor: level}"),
        ("matrix: {vcpus: [1]}\nexclude: {vcpus: 1}", 5, "no list", "{factor: level}"),
        ("exclude: [{vcpus: 1}]", 4, "not a factor of the matrix", "leave it out"),
        ("matrix: {vcpus: [1], mtu: [1500]}\ninclude: [{vcpus: 1}]", 5, "mtu is missing", "mtu"),
        ("matrix: {vcpus: [1]}\ninclude: [{vcpus: 1}]", 5, "already", "take it out"),
        ("algorithms: {x: {}}", 4, "`algorithms.x.kind` is missing", "kind: ..."),
        ("algorithms: {x: precopy}", 4, "`algorithms.x` is `precopy`", "x: {...}"),
        ("algorithms: {X: {kind: precopy}}", 4, "not a variant's name", "lower-case"),
        ("algorithms: {x: {kind: hybrid, name: y}}", 4, "`name` is not a key", "kind"),
        ("algorithms: {x: {kind: hybrid, preemt: true}}", 4, "not a key", "`preempt`"),
        ("algorithms: {precopy: {kind: hybrid}}", 4, "is built in", "another name"),
        ("repetitions: {}", 4, "`repetitions.until` is missing", "until: ..."),
        ("repetitions: {until: 5%}", 4, "`repetitions.until` is `5%`", "until: {...}"),
        ("repetitions: {until: {relative_interval: 5}}", 4, "`5` has no unit", "25%"),
        ("repetitions: {until: {relative_interval: 0%}}", 4, "too small", "0.1%"),
        (f"{UNTIL}\n  mn: 6", 7, "`mn` is not a key of `repetitions`", "`min`"),
        (f"{UNTIL}\n    off: [blackout]", 7, "not a key of `repetitions.until`", "`of`"),
        (f"{UNTIL}\n    of: blackout", 7, "no list of metrics", "of: [total_time]"),
        (f"{UNTIL}\n    of: []", 7, "no metric is named", "total_time"),
        (f"{UNTIL}\n    of: [total_time, total_time]", 7, "named twice", "once"),
        (f"{UNTIL}\n    of:\n      - total_time\n      - blackot", 9, "not one of", "`blackout`"),
        (f"{UNTIL}\n  min: 5", 7, "too small", "6 or more"),
        (f"{UNTIL}\n  min: 9\n  max: 8", 4, "less than `min: 9`", "`max: 9` or more"),
        (f"{UNTIL}\n  min: 61", 4, "`max: 60` is less", "`max: 61` or more"),
        ("noise: true", 4, "`noise` is `true`", "noise: {...}"),
        ("noise: {aa: yes}", 4, "neither true nor false", "true or false"),
        ("noise: {a: true}", 4, "`a` is not a key of `noise`", "`aa`"),
        ("noise: {aa: true, of: precopy}", 4, "`noise.of` is `precopy`", "of: {...}"),
        ("noise: {aa: true, of: {vcpus: 1}}", 4, "not a factor of the matrix", "leave it out"),
        ("matrix: {vcpus: [1, 2]}\nnoise:\n  of: {vcpus: 3}", 6, "matches no cell", "1, 2"),
        ("matrix: {vcpus: [1, 2]}\nnoise:\n  of: {vcpu: 2}", 6, "not a factor", "`vcpus`"),
        ("matrix: {vcpus: [1, 2]}\nnoise:\n  of: {vcpus: x}", 6, "not a whole number", "digits"),
        (
            "matrix: {vcpus: [1, 2]}\nexclude: [{vcpus: 2}]\nnoise:\n  aa: true\n  of: {vcpus: 2}",
            8,
            "they are excluded",
            "another cell",
        ),
        (
            "matrix: {algorithm: [x], preempt: [true]}\nalgorithms: {x: {kind: hybrid, preempt: true}}",
            5,
            "the matrix varies it",
            "one of the two",
        ),
    ],
)
def test_a_fault_has_its_line_and_mend(added: str, line: int, fault: str, mend: str) -> None:
    (found,) = faults_of(f"{GOOD}{added}\n")
    assert found.place == f"c.yaml:{line}"
    assert fault in found.fault
    assert found.mend
    assert mend in found.mend


@pytest.mark.parametrize(
    ("text", "place", "fault"),
    [
        ("", "c.yaml:1", "empty"),
        ("# nothing\n", "c.yaml:1", "empty"),
        ("- a\n", "c.yaml:1", "not a campaign"),
        ("a: [1,\n", "c.yaml:2", "not YAML"),
        ("name: c\na: b: c\n", "c.yaml:2", "not YAML"),
        ("name: c\n---\nname: d\n", "c.yaml:2", "not YAML"),
        ("name: c\nlab: \0\n", "c.yaml:2", "not YAML"),
        ("a: *b\n", "c.yaml:1", "not YAML"),
        ("---\n%YAML 9.9\n---\nname: c\n", "c.yaml:1", "not YAML: its reader fails"),
        ("[" * 5000, "c.yaml:1", "nested too deep"),
        ("name: c\na: &a [*a]\n", "c.yaml:2", "too deep"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"{b}: &{b} [{','.join(['*' + a] * 10)}]\n" for a, b in ("ab", "bc", "cd"))
            + "e: [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n",
            "c.yaml:1",
            "too large",
        ),
    ],
)
def test_what_is_no_campaign_at_all(text: str, place: str, fault: str) -> None:
    (found,) = faults_of(text)
    assert found.place == place
    assert fault in found.fault
    assert found.mend


def test_all_faults_of_a_file_come_together_in_the_order_of_its_lines() -> None:
    found = faults_of(
        "name: my campaign\n"
        "guest: {memory: 256, working_set: 64MiB, patern: random}\n"
        "matrix:\n"
        "  write_rate: [0, 40MiB/s]\n"
        "exclude: [{vcpus: 2}]\n"
        "repetitions: three\n"
    )
    assert [(fault.place, fault.fault.split(":")[0]) for fault in found] == [
        ("c.yaml:1", "name"),
        ("c.yaml:1", "`link` is missing"),
        ("c.yaml:2", "guest.memory"),
        ("c.yaml:2", "`patern` is not a key of `guest`"),
        ("c.yaml:4", "write_rate"),
        ("c.yaml:5", "`vcpus` is not a factor of the matrix"),
        ("c.yaml:6", "repetitions"),
    ]


@pytest.mark.parametrize("working_set", ["256MiB", "255MiB", "1GiB"])
def test_a_working_set_that_no_cell_can_hold(working_set: str) -> None:
    (found,) = faults_of(GOOD.replace("64MiB", working_set))
    assert found.place == "c.yaml:2"
    assert "does not fit a memory of 256MiB" in found.fault
    assert "251MiB" in (found.mend or "")


def test_a_working_set_that_varies_is_for_a_rule_to_judge() -> None:
    parse_campaign(GOOD + "matrix: {working_set: [64MiB, 1GiB]}\n")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match=r"no.yaml: cannot be read: No such file"):
        load_campaign(tmp_path / "no.yaml")
    with pytest.raises(CampaignError, match="cannot be read"):
        load_campaign(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(CampaignError, match="not text in UTF-8"):
        load_campaign(tmp_path / "latin.yaml")


TEXTS = st.one_of(
    strategies.broken_texts(),
    strategies.misshapen_texts(),
    st.text(max_size=60),
    st.text("{}[]:,-&*!|>'\"%@`#? \n\tax0~", max_size=40),
)


@settings(max_examples=500, suppress_health_check=list(HealthCheck))
@given(TEXTS)
def test_whatever_a_file_holds_nothing_but_campaign_error_is_raised(text: str) -> None:
    try:
        found = parse_campaign(text, "c.yaml")
    except CampaignError as error:
        for fault in error.faults:
            assert fault.fault
            assert fault.mend
            assert (fault.place or "").startswith("c.yaml:")
    else:
        assert isinstance(found, Campaign)
        assert expand(found)
