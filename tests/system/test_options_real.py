"""Every option on every QEMU: what a rule allows works, what a rule refuses QEMU refuses or breaks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labctl import api
from labctl.campaign import Campaign, Capabilities, expand, first_refusal
from labctl.lab import Lab, Pair, Questions, open_lab
from labctl.migration import RawTrial
from labctl.results.run import load_run
from tests.qemus import VERSIONS, find_qemu, need_qemu
from tests.system.bench import campaign, run_trial
from tests.system.conftest import own_state_root

pytestmark = [pytest.mark.root, pytest.mark.qemu, pytest.mark.slow, pytest.mark.timeout(300)]

GUEST = {"write_rate": "25MiB/s"}
WORKS: dict[str, dict[str, Any]] = {
    "multifd-zlib": {"kind": "precopy", "multifd_channels": 2, "multifd_compression": "zlib"},
    "multifd-zstd": {"kind": "precopy", "multifd_channels": 3, "multifd_compression": "zstd"},
    "xbzrle-pause": {"kind": "precopy", "xbzrle_cache": "16MiB", "pause_after_passes": 2},
    "stop-and-copy-multifd": {"kind": "stop_and_copy", "multifd_channels": 2},
    "auto-converge": {"kind": "precopy", "auto_converge": True, "auto_converge_initial": 50},
    "postcopy": {"kind": "postcopy", "preempt": True, "max_postcopy_bandwidth": "100MiB/s"},
    "hybrid-passes": {"kind": "hybrid", "switch": {"after_passes": 2}, "xbzrle_cache": "16MiB"},
}
"""what every version can do, but for what has postcopy on where that loses writes"""
REFUSED: dict[str, tuple[dict[str, Any], dict[str, tuple[str, str]]]] = {
    "multifd-postcopy": (
        {"kind": "postcopy", "multifd_channels": 2},
        {
            "7.2": ("multifd-postcopy-breaks", "yank_unregister_instance"),
            "10.0": ("multifd-postcopy", "Postcopy is not yet compatible with multifd"),
        },
    ),
    "multifd-xbzrle": (
        {"kind": "precopy", "multifd_channels": 2, "xbzrle_cache": "16MiB"},
        {
            "7.2": ("multifd-xbzrle-ignored", "XBZRLE has not tried to encode a page"),
            "10.0": ("qemu-refuses", "Multifd is not compatible with xbzrle"),
            "11.1": ("qemu-refuses", "Multifd is not compatible with xbzrle"),
        },
    ),
    "dirty-limit": (
        {"kind": "precopy", "dirty_limit": "10MiB/s"},
        {
            "7.2": ("capability-missing", "dirty-limit"),
            "10.0": ("qemu-refuses", "dirty-ring-size"),
            "11.1": ("qemu-refuses", "dirty-ring-size"),
        },
    ),
    "zero-copy": (
        {"kind": "precopy", "multifd_channels": 2, "zero_copy": True},
        dict.fromkeys(VERSIONS, ("zero-copy-copied", "the kernel copied")),
    ),
}
"""what some version refuses: by which rule, and what it says or does when it is asked nevertheless"""
LOSSES_SHOWN_WITHIN = 20
"""Trials of which one shows it, where each does with a chance of a third or more."""


def asked_of(version: str, options: dict[str, Any], **sections: Any) -> Campaign:
    asked = {
        "guest": GUEST,
        "link": {"bandwidth": "500Mbit/s"},
        "limits": {"total_time": "10s", "downtime": "50ms"},
        "timing": {"baseline": "200ms", "settle": "200ms"},
        "algorithm": "asked",
        "algorithms": {"asked": options},
    }
    path = find_qemu(version)
    return campaign(**{**asked, **({"qemu": path} if path else {}), **sections})


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab that was asked about all of it, on every QEMU that is here."""
    options = [*WORKS.values(), *(asked for asked, _ in REFUSED.values())]
    here = [version for version in VERSIONS if find_qemu(version)]
    cells = [cell for v in here for asked in options for cell in expand(asked_of(v, asked))]
    with (
        own_state_root(),
        open_lab("local", "options", questions=Questions.about(cells)) as opened,
    ):
        yield opened


@pytest.fixture
def pair(lab: Lab) -> Pair:
    (name,) = lab.pairs
    return lab.reopen(name) if lab.pairs[name].lost else lab.pairs[name]


def rule_for(pair: Pair, asked: Campaign) -> str | None:
    (cell,) = expand(asked)
    refusal = first_refusal(cell, *pair.capabilities())
    return refusal.rule if refusal else None


@pytest.mark.parametrize("name", WORKS)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_allowed_works(version: str, name: str, pair: Pair) -> None:
    need_qemu(version)
    # zlib sends some 20 MiB/s here: a machine that writes as fast does not converge.
    slow = {"guest": {"write_rate": "4MiB/s"}} if name == "multifd-zlib" else {}
    asked = asked_of(version, WORKS[name], **slow)
    if version == "11.1" and WORKS[name]["kind"] in ("postcopy", "hybrid"):
        assert rule_for(pair, asked) == "postcopy-loses-writes"
        return
    assert rule_for(pair, asked) is None
    raw = run_trial(pair, asked)
    assert (raw.outcome, raw.reason) == ("completed", None)
    assert raw.qemu["source"]["version"].startswith(f"{version}.")
    channels = WORKS[name].get("multifd_channels")
    if channels:
        assert raw.evidence["multifd"]["bytes"] > 0
        assert raw.evidence["multifd"]["connections"] <= channels


@pytest.mark.parametrize(
    ("name", "version"), [(name, v) for name, (_, by) in REFUSED.items() for v in by]
)
def test_what_a_rule_refuses_is_refused_or_breaks(name: str, version: str, pair: Pair) -> None:
    need_qemu(version)
    options, by_version = REFUSED[name]
    rule, said = by_version[version]
    asked = asked_of(version, options)
    assert rule_for(pair, asked) == rule
    raw = run_trial(pair, asked)
    assert raw.outcome == "failed"
    assert said in (raw.reason or "")


def test_multifd_with_postcopy_works_where_no_rule_refuses_it(pair: Pair) -> None:
    """11.1 has it. Under TCG the rule on lost writes refuses it; what is seen here is that multifd is used, and ends."""
    need_qemu("11.1")
    asked = asked_of("11.1", REFUSED["multifd-postcopy"][0])
    assert rule_for(pair, asked) == "postcopy-loses-writes"
    raw = run_trial(pair, asked)
    assert raw.verdict == "on_destination"
    assert raw.evidence["multifd"]["bytes"] > 0


def test_writes_are_lost_where_the_rule_says_so_and_not_beside_it(pair: Pair) -> None:
    for version in ("10.0", "11.1"):
        need_qemu(version)

    def lost(version: str, kind: str, trials: int) -> bool:
        sections = {"link": {"bandwidth": "1Gbit/s"}, "guest": {"write_rate": "20MiB/s"}}
        asked = asked_of(version, {"kind": kind}, **sections)
        return any("memory differs" in (run_trial(pair, asked).reason or "") for _ in range(trials))

    assert lost("11.1", "postcopy", LOSSES_SHOWN_WITHIN)
    # A hybrid loses too, but not so often that this many trials would show it.
    assert not lost("11.1", "precopy", 4)
    assert not lost("10.0", "postcopy", 4)


def test_auto_converge_throttles_what_does_not_converge(pair: Pair) -> None:
    # Six times what the link carries, and half of all memory: a busy machine that slows the guest brings it no end too.
    sections = {
        "guest": {"write_rate": "200MiB/s", "working_set": "32MiB"},
        "link": {"bandwidth": "250Mbit/s"},
    }
    options = {"kind": "precopy", "auto_converge": True, "auto_converge_initial": 40}
    raw = run_trial(pair, asked_of("7.2", options, **sections))
    assert raw.outcome in ("completed", "not_converged")
    assert raw.evidence["auto_converge"]["throttle_max_percent"] >= 40


@pytest.mark.parametrize("switch", [{"on_stall": 10}, {"after_time": "1500ms"}])
def test_a_hybrid_switches_as_asked(switch: dict[str, Any], pair: Pair) -> None:
    busy = {"write_rate": "100MiB/s"}
    raw = run_trial(pair, asked_of("7.2", {"kind": "hybrid", "switch": switch}, guest=busy))
    assert (raw.outcome, raw.reason) == ("completed", None)
    assert raw.schedule["result"]["fired"] == ["switch"]
    (switched_ns,) = [e["t_ns"] for e in raw.events if e["data"].get("rule") == "switch"]
    after_s = (switched_ns - raw.times_ns["migrate_start"]) / 1e9
    if "after_time" in switch:
        assert 1.5 <= after_s < 1.8
    else:
        assert _passes_before(raw, switched_ns) >= 2, "the first pass is all memory"


def _passes_before(raw: RawTrial, t_ns: int) -> int:
    announced = [e["t_ns"] for e in raw.events if e["name"] == "MIGRATION_PASS"]
    return sum(t <= t_ns for t in announced)


def test_a_campaign_compares_qemus(tmp_path: Path) -> None:
    need_qemu("10.0")
    asked = campaign(
        qemus={"new": need_qemu("10.0")},
        matrix={"qemu": ["none", "new", "/nowhere/qemu"], "algorithm": ["precopy"]},
    )
    with own_state_root():
        run = load_run(api.run(asked, out=tmp_path).directory)
    versions = {t.record.cell: t.record.qemu["source"].version for t in run.trials()}
    own = versions.pop("precopy,qemu=none")
    assert own is not None
    assert not own.startswith("10.0.")
    assert [str(v)[:5] for v in versions.values()] == ["10.0."]
    assert all(t.record.outcome in ("completed", "invalid_load") for t in run.trials())
    (refused,) = [t for t in run.plan.trials if not t.supported]
    assert (refused.cell, refused.rule) == ("precopy,qemu=+nowhere+qemu", "qemu-missing")
    ends = json.loads((run.path / "environment.json").read_text())["pairs"]["a-b"]["ends"]
    assert ends["a"]["qemus"][need_qemu("10.0")]["version"].startswith("10.0.")


def test_capabilities_of_each_qemu_are_its_own(pair: Pair) -> None:
    own = pair.a.capabilities
    for version in VERSIONS[1:]:
        there: Capabilities = own.of(need_qemu(version))
        assert there.qemu_version.startswith(f"{version}.")
        assert there.machine_type.endswith(version)
        assert "dirty-limit" in there.migration_capabilities
