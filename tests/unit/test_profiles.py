"""Profiles: from a file to steps, what they ask until a moment, and what makes no sense."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.campaign import (
    Asked,
    Campaign,
    Plan,
    Profile,
    dump_campaign,
    expand,
    load_campaign,
    make_plan,
    parse_campaign,
)
from labctl.campaign.estimate import baseline_window_s
from labctl.campaign.profiles import MAX_STEPS
from labctl.errors import CampaignError
from labctl.migration.load import command_line
from labctl.results import RunStore, load_run

GUEST = {"memory": "64MiB", "working_set": "8MiB", "write_rate": "40MiB/s"}
TRACE = "seconds,share\n0,0.5\n1.5,0\n2,1\n3,0\n"
TEXT = """\
name: shapes
guest: {memory: 64MiB, working_set: 8MiB, write_rate: 40MiB/s}
link: {bandwidth: 1Gbit/s}
profiles:
  bursty: {burst: {period: 1s, duty: 20%, share: 500%}}
  ramp: {steps: [{for: 1s, share: 50%}, {for: 500ms, share: 100%}]}
  web: {trace: web.csv}
matrix: {profile: [constant, bursty, ramp, web]}
"""


def campaign(guest: dict[str, str] | None = None, **changes: Any) -> Campaign:
    return Campaign.model_validate(
        {"name": "p", "guest": {**GUEST, **(guest or {})}, "link": {"bandwidth": "1Gbit/s"}}
        | changes
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "web.csv").write_text(TRACE)
    (tmp_path / "c.yaml").write_text(TEXT)
    return tmp_path / "c.yaml"


def test_each_form_becomes_steps(file: Path) -> None:
    steps = {cell.guest.profile: cell.profile.steps for cell in expand(load_campaign(file))}
    assert steps == {
        "constant": (),
        "bursty": ((200_000, 5_000_000), (800_000, 0)),
        "ramp": ((1_000_000, 500_000), (500_000, 1_000_000)),
        "web": ((1_500_000, 500_000), (500_000, 0), (1_000_000, 1_000_000)),
    }


def test_a_run_keeps_the_trace_and_is_read_without_the_file(file: Path, tmp_path: Path) -> None:
    loaded = load_campaign(file)
    plan = make_plan(loaded)
    with RunStore.create(tmp_path / "runs", loaded, plan, {}):
        pass
    (tmp_path / "web.csv").unlink()
    run = load_run("latest", tmp_path / "runs")
    assert expand(run.campaign) == expand(loaded)
    assert make_plan(run.campaign) == run.plan == Plan.from_json(plan.to_json())


def test_what_is_dumped_loads_as_the_same(file: Path) -> None:
    loaded = load_campaign(file)
    again = parse_campaign(dump_campaign(loaded), "c.yaml", file.parent)
    assert again == loaded.model_copy(update={"source_text": again.source_text})
    made = Campaign.model_validate(
        {**campaign(profiles={"web": {"trace": "web.csv"}}, traces={"web.csv": TRACE}).model_dump()}
        | {"traces": {"web.csv": TRACE}}
    )
    assert made.profile("web").mean == pytest.approx(1.75 / 3)


@pytest.mark.parametrize(
    ("profiles", "said"),
    [
        ("{a: {}}", "a profile is one of three"),
        ("{a: {burst: {period: 1s, duty: 20%}, trace: web.csv}}", "a profile is one of three"),
        ("{a: {burst: {period: 1s, duty: 20}}}", "`20` has no unit"),
        ("{a: {burst: {period: 1s, duty: 100%}}}", "`100%` is too large"),
        ("{a: {burst: {period: 1s, duty: 20%, share: 0%}}}", "a profile never writes"),
        ("{a: {steps: [{for: 1s}]}}", "`profiles.a.steps[0].share` is missing"),
        ("{a: {steps: [{for: 1us, share: 10%}]}}", "`1us` is too small"),
        ("{a: {steps: [{for: 1h, share: 1000.1%}]}}", "`1000.1%` is too large"),
        ("{constant: {trace: web.csv}}", "`constant` is always there"),
        ("{A: {trace: web.csv}}", "`A` is not a profile's name"),
        ("{a: {trace: ../web.csv}}", "`../web.csv` is not a trace's file"),
        ("{a: {trace: none.csv}}", "the trace none.csv cannot be read: No such file"),
    ],
)
def test_each_fault_is_told_with_its_line(tmp_path: Path, profiles: str, said: str) -> None:
    (tmp_path / "web.csv").write_text(TRACE)
    with pytest.raises(CampaignError) as error:
        parse_campaign(
            f"name: x\nguest: {{memory: 64MiB, working_set: 1MiB}}\nlink: {{bandwidth: 1Gbit/s}}\n"
            f"profiles:\n  {profiles}\n",
            "c.yaml",
            tmp_path,
        )
    assert said in str(error.value)
    assert "c.yaml:5" in str(error.value)


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        ("", "begins with its columns"),
        ("a,b\n0,1\n1,1\n", "begins with its columns"),
        ("seconds,share\n0,1\n", "has an end"),
        ("seconds,share\n1,1\n2,1\n", "begins at second 0"),
        ("seconds,share\n0,1\n\n2,1\n1,1\n", "line 5 of the trace is not 1 ms to 1 h after"),
        ("seconds,share\n0,1,2\n2,1\n", "line 2 of the trace is not two numbers"),
        ("seconds,share\n0,1\nnan,1\n", "line 3 of the trace is out of range"),
        ("seconds,share\n0,0\n1,1\n", "a profile never writes"),
        (
            "seconds,share\n" + "".join(f"{n},1\n" for n in range(MAX_STEPS + 2)),
            f"a profile of {MAX_STEPS + 1} steps is too long",
        ),
    ],
)
def test_each_fault_of_a_trace_is_told(tmp_path: Path, trace: str, said: str) -> None:
    (tmp_path / "web.csv").write_text(trace)
    (tmp_path / "c.yaml").write_text(TEXT)
    with pytest.raises(CampaignError) as error:
        load_campaign(tmp_path / "c.yaml")
    assert said in str(error.value)
    assert "c.yaml:7" in str(error.value)


def test_a_profile_that_is_not_there_is_told() -> None:
    with pytest.raises(CampaignError, match="`bursti` is not one of constant, bursty"):
        campaign({"profile": "bursti"}, profiles={"bursty": {"burst": {"period": 1, "duty": 0.2}}})


def test_a_trace_that_was_not_read_is_told() -> None:
    with pytest.raises(ValueError, match=r"the trace web\.csv was not read"):
        campaign(profiles={"web": {"trace": "web.csv"}})


steps = st.lists(
    st.tuples(st.integers(1_000, 5_000_000), st.integers(0, 10_000_000)), min_size=1, max_size=6
).filter(lambda found: any(ppm for _, ppm in found))


@given(steps, st.floats(0, 100), st.floats(0, 100))
def test_what_is_asked_is_the_integral(
    found: list[tuple[int, int]], one_s: float, other_s: float
) -> None:
    profile = Profile(steps=tuple(found))
    early, late = sorted((one_s, other_s))
    highest = max(ppm for _, ppm in found) / 1e6
    grown = profile.full_s(late) - profile.full_s(early)
    assert -1e-9 <= grown <= (late - early) * highest + 1e-6
    assert profile.full_s(early + profile.period_s) - profile.full_s(early) == pytest.approx(
        profile.mean * profile.period_s, rel=1e-6, abs=1e-9
    )
    assert 0 <= profile.busy_s(late) <= late + 1e-9


def test_what_once_is_asked_ends_with_its_working_set() -> None:
    (cell,) = expand(campaign({"pattern": "once"}))
    asked = Asked.of(cell.guest, cell.profile)
    assert [asked.pages(t) for t in (0, 0.1, 0.2, 5)] == [0, 1024, 2048, 2048]


def test_the_baseline_is_a_period_long_within_reason(file: Path) -> None:
    loaded = load_campaign(file)
    windows = {c.guest.profile: baseline_window_s(c.profile, loaded.timing) for c in expand(loaded)}
    assert windows == {"constant": 1.0, "bursty": 1.0, "ramp": 1.5, "web": 3.0}
    assert baseline_window_s(Profile(steps=((3_600_000_000, 1),)), loaded.timing) == 30.0


def test_the_guest_is_told_all_of_it() -> None:
    (plain,) = expand(campaign())
    assert command_line(plain.guest, plain.profile, 0xAB) == (
        "nonce=000000ab ws=8388608 rate=41943040 pattern=random fill=random vcpus=1 seed=1 beat_us=500"
    )
    load = {
        "pattern": "zipf", "zipf_exponent": "0.9", "content": "delta", "delta": "256B", "read_share": "25%",
        "vcpus": "2", "vcpu_parts": "3:1", "profile": "b",
    }  # fmt: skip
    (cell,) = expand(campaign(load, profiles={"b": {"burst": {"period": "1s", "duty": "20%"}}}))
    assert command_line(cell.guest, cell.profile, 1).endswith(
        "beat_us=500 zipf=900 content=delta delta=256 reads=250000 parts=3:1 steps=200000:1000000,800000:0"
    )


@pytest.mark.parametrize(
    ("guest", "matrix", "rule"),
    [
        ({"vcpus": "2", "vcpu_parts": "1:1:1"}, {}, "parts-need-vcpus"),
        ({"vcpus": "2", "vcpu_parts": "3:1"}, {}, None),
        ({"vcpus": "2", "vcpu_parts": "1:99", "working_set": "64KiB"}, {}, "working-set-too-small"),
        ({}, {"zipf_exponent": ["2"]}, "load-option-unused"),
        ({"pattern": "zipf"}, {"zipf_exponent": ["2"]}, None),
        ({}, {"delta": ["8B"]}, "load-option-unused"),
        ({"write_rate": "0MiB/s"}, {"read_share": ["25%"]}, "load-option-unused"),
        ({"write_rate": "0MiB/s"}, {"profile": ["b"]}, "load-option-unused"),
        ({}, {"profile": ["constant", "b"], "read_share": ["0%", "25%"]}, None),
    ],
)
def test_rules_refuse_what_makes_no_sense(
    guest: dict[str, str], matrix: dict[str, list[str]], rule: str | None
) -> None:
    plan = make_plan(
        campaign(guest, matrix=matrix, profiles={"b": {"burst": {"period": 1, "duty": 0.2}}})
    )
    assert {trial.rule for trial in plan.trials} == {rule}
