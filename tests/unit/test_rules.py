"""Rules: each refuses what it should and nothing else; the page is the registry's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from labctl.campaign import (
    RULES,
    Campaign,
    Capabilities,
    Cell,
    asked_capabilities,
    expand,
    first_refusal,
    rules_page,
)
from tests import strategies
from tests.unit.test_campaign_models import campaign

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "rules.md"
ABLE = Capabilities(
    host="a",
    qemu_version="10.0.13",
    qemu_path="/usr/bin/qemu-system-x86_64",
    accelerator="tcg",
    machine_type="pc-q35-7.2",
    migration_capabilities=["events", "postcopy-ram", "postcopy-preempt", "multifd"],
    userfaultfd=True,
    memory_available_bytes=2**33,
    cpus=2,
    netem_refused=None,
    rdma=True,
)


def cell(**parts: Any) -> Cell:
    return expand(campaign(**parts))[-1]


def variant(**options: Any) -> Cell:
    return cell(algorithm="v", algorithms={"v": options})


def able(**changes: Any) -> Capabilities:
    return ABLE.model_copy(update=changes)


def refused(found: Cell, source: Capabilities = ABLE, destination: Capabilities = ABLE) -> str:
    refusal = first_refusal(found, source, destination)
    return f"{refusal.rule}: {refusal.reason}" if refusal else ""


@pytest.mark.parametrize("kind", ["stop_and_copy", "precopy", "postcopy", "hybrid"])
def test_an_able_lab_refuses_no_algorithm(kind: str) -> None:
    assert not refused(cell(algorithm=kind))
    assert not refused(cell(algorithm=kind, transport="rdma"))
    assert not refused(variant(kind=kind, multifd_channels=4))


def test_preempt_needs_postcopy() -> None:
    assert refused(variant(kind="precopy", preempt=True)) == (
        "preempt-needs-postcopy: preempt: v is precopy, which requests no pages"
    )
    assert not refused(variant(kind="postcopy", preempt=True))
    assert not refused(variant(kind="hybrid", preempt=True))


def test_switch_needs_hybrid() -> None:
    matrix = {"algorithm": ["precopy", "hybrid"], "switch.after_passes": [1, 2]}
    found = {c.name: refused(c) for c in expand(campaign(matrix=matrix))}
    assert [name for name, reason in found.items() if reason] == ["precopy,switch.after_passes=2"]
    assert found["precopy,switch.after_passes=2"].startswith(
        "switch-needs-hybrid: switch: precopy is"
    )


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"kind": "precopy", "max_postcopy_bandwidth": "1MiB/s"}, "postcopy-bandwidth-needs-postcopy"),
        ({"kind": "precopy", "switch": {"after_time": "1s"}}, "switch-needs-hybrid"),
        ({"kind": "hybrid", "pause_after_passes": 1}, "pause-needs-precopy"),
        ({"kind": "stop_and_copy", "pause_after_passes": 1}, "pause-needs-precopy"),
        ({"kind": "postcopy", "auto_converge": True}, "aid-needs-passes"),
        ({"kind": "stop_and_copy", "xbzrle_cache": "1MiB"}, "aid-needs-passes"),
        ({"kind": "postcopy", "dirty_limit": "1MiB/s"}, "aid-needs-passes"),
        ({"kind": "precopy", "auto_converge_max": 50}, "throttle-needs-auto-converge"),
        (
            {"kind": "precopy", "auto_converge": True, "auto_converge_initial": 60, "auto_converge_max": 50},
            "throttle-order",
        ),
        ({"kind": "precopy", "multifd_compression": "zlib"}, "multifd-needed"),
        ({"kind": "precopy", "zero_copy": True}, "multifd-needed"),
        (
            {"kind": "precopy", "multifd_channels": 2, "zero_copy": True, "multifd_compression": "zstd"},
            "options-exclude-each-other",
        ),
        (
            {"kind": "precopy", "multifd_channels": 2, "zero_copy": True, "xbzrle_cache": "1MiB"},
            "options-exclude-each-other",
        ),
        (
            {"kind": "precopy", "auto_converge": True, "dirty_limit": "1MiB/s"},
            "options-exclude-each-other",
        ),
        ({"kind": "precopy", "multifd_channels": 2, "multifd_compression": "zstd"}, ""),
        ({"kind": "precopy", "auto_converge": True, "auto_converge_max": 50}, ""),
        ({"kind": "hybrid", "switch": {"on_stall": 10}, "max_postcopy_bandwidth": "1MiB/s"}, ""),
        ({"kind": "precopy", "pause_after_passes": 2, "xbzrle_cache": "1MiB"}, ""),
    ],
)  # fmt: skip
def test_options_that_have_no_use_or_no_sense(options: Mapping[str, Any], rule: str) -> None:
    refusal = first_refusal(variant(**options), None, None)
    assert (refusal.rule if refusal else "") == rule


def test_each_cell_is_judged_by_its_own_qemu() -> None:
    new = "/opt/new"
    both = able(others={new: able(qemu_version="99.0", migration_capabilities=["events"])})
    matrix = {"qemu": ["none", new], "algorithm": ["postcopy"]}
    own, other = expand(campaign(matrix=matrix))
    assert not refused(own, both, both)
    assert refused(other, both, both).startswith("capability-missing: QEMU 99.0 at the source")
    assert refused(other) == f"qemu-missing: the source: {new} was not asked"


def test_working_set() -> None:
    large = cell(matrix={"working_set": ["1GiB"]})
    assert refused(large) == (
        "working-set-exceeds-memory: a working set of 1GiB does not fit a memory of 256MiB: "
        "251MiB is the most"
    )
    assert not refused(cell(matrix={"working_set": ["251MiB"]}))
    few = {"memory": "64MiB", "working_set": "4KiB", "vcpus": 2, "write_rate": "1MiB/s"}
    assert refused(cell(guest=few)).startswith("working-set-too-small: 2 vCPUs")
    assert not refused(cell(guest=few | {"write_rate": "0MiB/s"}))


def test_transport_not_in_lab() -> None:
    rdma = cell(transport="rdma")
    assert (
        refused(rdma, ABLE, able(rdma=False)) == "transport-not-in-lab: no RDMA at the destination"
    )
    assert refused(rdma, able(rdma=False), ABLE) == "transport-not-in-lab: no RDMA at the source"
    assert not refused(cell(), able(rdma=False), able(rdma=False))


def test_why_there_is_no_rdma_is_said_where_it_is_known() -> None:
    rdma = cell(transport="rdma")
    without = able(rdma=False, rdma_fault="no RDMA device belongs to mig0")
    assert refused(rdma, without, without) == (
        "transport-not-in-lab: no RDMA at the source and the destination: no RDMA device belongs to mig0"
    )


def test_pin_all_is_for_rdma() -> None:
    pinned = {"v": {"kind": "precopy", "pin_all": True}}
    assert refused(cell(algorithm="v", algorithms=pinned)).startswith("pin-all-needs-rdma: pin_all")
    with_it = able(migration_capabilities=[*ABLE.migration_capabilities, "rdma-pin-all"])
    rdma = cell(algorithm="v", algorithms=pinned, transport="rdma")
    assert not refused(rdma, with_it, with_it)
    assert asked_capabilities(rdma) == {"events", "rdma-pin-all"}
    assert refused(rdma).startswith("capability-missing")


@pytest.mark.parametrize(
    "link", [{"bandwidth": "1Gbit/s"}, {"bandwidth": "none", "delay": "10ms"}, {"bandwidth": "none", "loss": "1%"}]
)  # fmt: skip
def test_what_a_card_sends_is_not_shaped(link: dict[str, str]) -> None:
    card, soft = able(rdma_provider="mlx5_core"), able(rdma_provider="rxe")
    rdma = cell(transport="rdma", link=link)
    assert refused(rdma, card, soft) == (
        "rdma-not-shaped: the link is shaped, and mlx5_core at the source sends past that"
    )
    assert not refused(rdma, soft, soft)
    assert not refused(cell(link=link), card, card)
    assert not refused(cell(transport="rdma", link={"bandwidth": "none"}), card, card)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"kind": "postcopy"}, "rdma-postcopy-breaks"),
        ({"kind": "hybrid"}, "rdma-postcopy-breaks"),
        ({"kind": "precopy", "multifd_channels": 2}, "rdma-multifd-breaks"),
        ({"kind": "precopy", "xbzrle_cache": "16MiB"}, "rdma-xbzrle-ignored"),
        ({"kind": "precopy"}, ""),
    ],
)
def test_what_an_old_qemu_breaks_over_rdma(options: dict[str, Any], rule: str) -> None:
    over_rdma = cell(algorithm="v", algorithms={"v": options}, transport="rdma")
    new = able(migration_capabilities=[*ABLE.migration_capabilities, "xbzrle"])
    old = new.model_copy(update={"qemu_version": "7.2.22"})
    assert refused(over_rdma, new, old).split(":")[0] == rule
    assert not refused(over_rdma, new, new)


def test_what_a_qemu_refuses_with_rdma_it_may_do_over_tcp() -> None:
    no = able(refused={"destination:events+postcopy-ram+rdma": "RDMA and postcopy-ram can't be used together"})  # fmt: skip
    assert refused(cell(algorithm="postcopy", transport="rdma"), ABLE, no) == (
        "qemu-refuses: QEMU 10.0.13 at the destination says of events+postcopy-ram+rdma: RDMA and "
        "postcopy-ram can't be used together"
    )
    assert not refused(cell(algorithm="postcopy"), ABLE, no)


@pytest.mark.parametrize("link", [{"delay": "10ms"}, {"loss": "1%"}])
def test_delay_and_loss_need_netem_at_both_ends(link: dict[str, str]) -> None:
    far = cell(link={"bandwidth": "1Gbit/s", **link})
    without = able(netem_refused="Specified qdisc kind is unknown")
    for role, ends in (("source", (without, ABLE)), ("destination", (ABLE, without))):
        assert refused(far, *ends) == (
            f"netem-missing: the {role}'s kernel says of netem: Specified qdisc kind is unknown"
        )
    assert not refused(far)
    assert not refused(cell(), without, without)
    assert not refused(cell(link={"bandwidth": "1Gbit/s", "delay": "0s", "loss": "0%"}), without)


@pytest.mark.parametrize("link", [{"bandwidth": "1Gbit/s"}, {"delay": "10ms"}, {"loss": "1%"}])
def test_an_interface_that_carries_ssh_is_neither_shaped_nor_delayed(link: dict[str, str]) -> None:
    as_it_is = {"bandwidth": "none", "mtu": "none"}
    carries = able(shapeable=False, fixed_mtu=1500)
    assert refused(cell(link=as_it_is | link), ABLE, carries) == (
        "link-carries-ssh: migrations cross the interface that carries SSH, at the destination"
    )
    assert not refused(cell(link=as_it_is), carries, carries)


def test_capability_missing() -> None:
    old = able(migration_capabilities=["events", "postcopy-ram"], qemu_version="6.0")
    assert refused(variant(kind="postcopy", preempt=True), ABLE, old) == (
        "capability-missing: QEMU 6.0 at the destination has no postcopy-preempt"
    )
    assert refused(variant(kind="precopy", multifd_channels=2), old, ABLE) == (
        "capability-missing: QEMU 6.0 at the source has no multifd"
    )
    assert not refused(cell(algorithm="hybrid"), old, old)


def test_userfaultfd_is_the_destinations() -> None:
    without = able(userfaultfd=False)
    assert refused(cell(algorithm="postcopy"), ABLE, without).startswith("userfaultfd: ")
    assert refused(cell(algorithm="hybrid"), ABLE, without).startswith("userfaultfd: ")
    assert not refused(cell(algorithm="postcopy"), without, ABLE)
    assert not refused(cell(algorithm="precopy"), without, without)


@pytest.mark.parametrize(
    ("refusals", "rule"),
    [
        ({"source:multifd+postcopy-ram": "no"}, "multifd-postcopy"),
        ({"source:postcopy-ram+multifd": "no"}, "multifd-postcopy"),
        ({"multifd+postcopy-ram": "no"}, "multifd-postcopy"),
        ({"source:postcopy-ram": "no"}, "qemu-refuses"),
        ({"tcp+multifd": "no"}, "qemu-refuses"),
        ({"destination:multifd+postcopy-ram": "no"}, ""),
        ({"source:multifd+xbzrle": "no"}, ""),
        ({}, ""),
    ],
)
def test_what_the_qemu_at_hand_refuses(refusals: Mapping[str, str], rule: str) -> None:
    both = variant(kind="postcopy", multifd_channels=2)
    found = refused(both, able(refused=refusals), ABLE)
    assert found.split(":")[0] == rule
    assert not rule or found.endswith(": no")


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        ("Postcopy is not yet compatible with multifd", "multifd-postcopy"),
        ("Multifd is not compatible with xbzrle", "qemu-refuses"),
    ],
)
def test_of_more_than_two_options_qemu_says_which_it_minds(message: str, rule: str) -> None:
    three = variant(kind="hybrid", multifd_channels=2, xbzrle_cache="1MiB")
    asked = able(
        qemu_version="11.1.3",
        migration_capabilities=[*ABLE.migration_capabilities, "xbzrle"],
        refused={"source:events+multifd+postcopy-ram+xbzrle": message},
    )
    assert refused(three, asked, asked).split(":")[0] == rule


@pytest.mark.parametrize(
    ("version", "options", "rule"),
    [
        ("7.2.22", {"kind": "postcopy", "multifd_channels": 2}, "multifd-postcopy-breaks"),
        ("7.2.22", {"kind": "hybrid", "multifd_channels": 2}, "multifd-postcopy-breaks"),
        ("7.2.22", {"kind": "precopy", "multifd_channels": 2}, ""),
        (
            "7.2.22",
            {"kind": "precopy", "multifd_channels": 2, "xbzrle_cache": "1MiB"},
            "multifd-xbzrle-ignored",
        ),
        ("10.0.13", {"kind": "postcopy", "multifd_channels": 2}, ""),
        ("10.0.13", {"kind": "postcopy"}, ""),
        ("11.1.3", {"kind": "postcopy"}, "postcopy-loses-writes"),
        ("11.1.3", {"kind": "hybrid", "switch": {"after_time": "1s"}}, "postcopy-loses-writes"),
        ("11.1.3", {"kind": "hybrid"}, "postcopy-loses-writes"),
        ("11.1.3", {"kind": "hybrid", "switch": {"on_stall": 10}}, "postcopy-loses-writes"),
        ("10.0.13", {"kind": "hybrid"}, ""),
        ("11.1.3", {"kind": "precopy"}, ""),
        ("unknown", {"kind": "precopy", "multifd_channels": 2}, ""),
    ],
)
def test_what_breaks_though_qemu_accepts_it(
    version: str, options: Mapping[str, Any], rule: str
) -> None:
    known = able(
        qemu_version=version, migration_capabilities=[*ABLE.migration_capabilities, "xbzrle"]
    )
    assert refused(variant(**options), known, known).partition(":")[0] == rule
    assert refused(variant(**options), ABLE, known).partition(":")[0] == rule or "xbzrle" in rule
    on_kvm = known.model_copy(update={"accelerator": "kvm"})
    if rule == "postcopy-loses-writes":
        assert not refused(variant(**options), on_kvm, on_kvm)


def test_host_memory() -> None:
    small = able(memory_available_bytes=512 * 2**20)
    assert refused(cell(), small, small) == (
        "host-memory: the host has 512MiB left, two machines need 768MiB"
    )
    assert not refused(cell(), small, small.model_copy(update={"host": "b"}))
    smaller = able(memory_available_bytes=256 * 2**20, host="b")
    assert refused(cell(), small, smaller) == (
        "host-memory: the destination has 256MiB left, a machine needs 384MiB"
    )


@given(strategies.campaigns(), strategies.capabilities(), strategies.capabilities())
def test_rules_are_pure_and_offline_they_need_nothing(
    found: Campaign, source: Capabilities, destination: Capabilities
) -> None:
    for each in expand(found):
        refusal = first_refusal(each, source, destination)
        assert refusal == first_refusal(each, source, destination)
        if refusal:
            assert refusal.rule in {rule.id for rule in RULES}
            assert refusal.reason
        offline = first_refusal(each, None, None)
        if offline:
            assert refusal == offline


def test_capabilities_a_trial_asks_for() -> None:
    assert asked_capabilities(cell()) == {"events"}
    assert asked_capabilities(variant(kind="hybrid", preempt=True, multifd_channels=2)) == {
        "events",
        "postcopy-ram",
        "postcopy-preempt",
        "multifd",
    }


def test_every_rule_has_a_page_and_the_reference_is_generated() -> None:
    ids = [rule.id for rule in RULES]
    assert len(set(ids)) == len(ids)
    assert all(rule.problem and rule.why and rule.mend for rule in RULES)
    assert all((rule.by_cell is None) != (rule.by_ends is None) for rule in RULES)
    assert PAGE.read_text() == rules_page(), f"write rules_page() to {PAGE.name}"


def test_capabilities_survive_json() -> None:
    assert Capabilities.model_validate_json(ABLE.model_dump_json()) == ABLE
