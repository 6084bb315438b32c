"""Evidence: what shows that an option was in force, and what shows that it was not."""

import json
from typing import Any

import pandas as pd
import pytest

from labctl.campaign.specs import AlgorithmSpec
from labctl.cli.show import _options as shown_options
from labctl.migration.evidence import Course, course_of, evidence
from labctl.report.numbers import NONE
from labctl.results.figures import aids
from labctl.results.figures.seen import Seen
from labctl.results.schema import TrialRecord


def spec(**options: Any) -> AlgorithmSpec:
    return AlgorithmSpec.model_validate({"name": "v", "kind": "precopy", **options})


def course(reply: dict[str, Any] | None = None, **parts: Any) -> Course:
    known: dict[str, Any] = {
        "reply": reply or {},
        "throttle_max": 0,
        "source_threads": frozenset(),
        "destination_threads": frozenset(),
        "second_pass": True,
    }
    return Course(**known | parts)


def faults(options: dict[str, Any], found: Course) -> list[str]:
    return [seen.fault for seen in evidence(spec(**options), found).values() if seen.fault]


def test_what_was_not_asked_for_is_not_looked_at() -> None:
    assert evidence(spec(), course()) == {}


@pytest.mark.parametrize(
    ("counted", "fault"),
    [
        ({"rdma_tx_packets": (10, 30)}, ""),
        ({"rdma_tx_bytes": (0, 0), "rdma_tx_packets": (10, 30)}, ""),
        ({"rdma_tx_packets": (10, 10)}, "the source's RDMA port has sent nothing"),
        ({}, ""),
    ],
)
def test_rdma(counted: dict[str, tuple[int, int]], fault: str) -> None:
    """A port that counts nothing at all tells nothing."""
    found = evidence(spec(), course(rdma=counted), "rdma")["rdma"]
    assert (found.fault or "") == fault
    assert found.seen == {name.removeprefix("rdma_"): last - first for name, (first, last) in counted.items()}  # fmt: skip
    assert evidence(spec(), course(rdma=counted)) == {}


def test_what_the_rdma_ports_have_counted_is_the_sources() -> None:
    samples = [
        {"kind": "host", "side": side, "rdma_tx_packets": count, "rdma_tx_bytes": None}
        for side, count in [("source", 5), ("destination", 1), ("source", 9), ("destination", 100)]
    ]
    found = course_of({}, samples, [])
    assert found.rdma == {"rdma_tx_packets": (5, 9)}
    assert found.reply == {}, "of a migration that failed early, nobody knows more"


MULTIFD = {"multifd_channels": 2}


@pytest.mark.parametrize(
    ("sent", "threads", "fault"),
    [
        (1, ["multifdsend_0", "multifdsend_1"], ""),
        (1, ["mig/src/send_0", "mig/src/send_1", "mig/src/main"], ""),
        (1, [], ""),
        (0, ["multifdsend_0", "multifdsend_1"], "sent nothing"),
        (1, ["mig/src/send_0"], ""),
    ],
)
def test_multifd(sent: int, threads: list[str], fault: str) -> None:
    found = faults(
        MULTIFD,
        course({"ram": {"multifd-bytes": sent}}, source_threads=frozenset(threads)),
    )
    assert fault in "".join(found)
    assert bool(found) == bool(fault)


@pytest.mark.parametrize(("missed", "fault"), [(0, False), (3, True), (None, True)])
def test_zero_copy(missed: int | None, fault: bool) -> None:
    ram = {"multifd-bytes": 1, "dirty-sync-missed-zero-copy": missed}
    assert bool(faults(MULTIFD | {"zero_copy": True}, course({"ram": ram}))) == fault


CACHE = {"cache-size": 2**20, "pages": 0, "cache-miss": 0, "overflow": 0, "bytes": 0}


@pytest.mark.parametrize(
    ("cache", "second_pass", "fault"),
    [
        (CACHE | {"pages": 1}, True, ""),
        (CACHE | {"cache-miss": 1}, True, ""),
        (CACHE, False, ""),
        (CACHE, True, "has not tried"),
        (CACHE | {"cache-size": 2**26, "pages": 1}, True, "cache is"),
        (None, True, "tells nothing"),
    ],
)
def test_xbzrle(cache: dict[str, int] | None, second_pass: bool, fault: str) -> None:
    reply = {"xbzrle-cache": cache} if cache else {}
    found = faults({"xbzrle_cache": "1MiB"}, course(reply, second_pass=second_pass))
    assert fault in "".join(found)
    assert bool(found) == bool(fault)


def test_what_may_rightly_do_nothing_is_told_and_no_fault() -> None:
    asked = {"kind": "hybrid", "auto_converge": True, "preempt": True, "dirty_limit": "1MiB/s"}
    found = evidence(
        spec(**asked), course(throttle_max=30, destination_threads=frozenset({"mig/dst/preempt"}))
    )
    assert [seen.fault for seen in found.values()] == [None] * 3
    assert found["auto_converge"].seen == {"throttle_max_percent": 30}
    assert found["preempt"].seen["channel"] is True


def test_the_course_of_a_migration_is_read_from_its_raw_data() -> None:
    def migrate(side: str, raw: dict[str, Any]) -> dict[str, Any]:
        return {"kind": "migrate", "side": side, "raw": raw}

    threads = json.dumps({"mig/src/send_0/17": [1, 2]})
    found = course_of(
        {"source": {"migrate": {"status": "cancelled"}}},
        [
            migrate("source", {"ram": {"remaining": 2}, "cpu-throttle-percentage": 40}),
            migrate("source", {"ram": {"remaining": 1}, "cpu-throttle-percentage": 20}),
            migrate("source", {"error": "QEMU did not answer"}),
            migrate("destination", {"status": "active"}),
            {"kind": "host", "side": "source", "threads": threads},
            {"kind": "host", "side": "destination", "threads": None},
        ],
        [{"name": "MIGRATION_PASS", "side": "source", "data": {"pass": 3}}],
    )
    assert found.ram == {"remaining": 1}, "a cancelled migration forgets its figures"
    assert found.throttle_max == 40
    assert found.source_threads == {"mig/src/send_0"}
    assert found.second_pass


def test_it_becomes_figures_and_is_shown() -> None:
    record = TrialRecord.model_construct(
        evidence={
            "multifd": {"bytes": 7, "connections": 2},
            "auto_converge": {"throttle_max_percent": 40},
            "xbzrle": {"pages": 3, "bytes": 100, "cache_misses": 5, "overflows": None},
            "zero_copy": {},
        }
    )
    seen = Seen(record, pd.DataFrame(), pd.DataFrame(), [])
    assert aids.multifd_bytes(seen) == 7
    assert aids.multifd_connections(seen) == 2
    assert aids.throttle_max_percent(seen) == 40
    assert (aids.xbzrle_pages(seen), aids.xbzrle_bytes(seen)) == (3, 100)
    assert (aids.xbzrle_cache_misses(seen), aids.xbzrle_overflows(seen)) == (5, None)
    assert aids.zero_copy_missed(seen) is None
    assert dict(shown_options(record)) == {
        "multifd": "bytes 7, connections 2",
        "auto-converge": "throttle max percent 40",
        "xbzrle": f"pages 3, bytes 100, cache misses 5, overflows {NONE}",
        "zero-copy": "nothing was seen",
    }
