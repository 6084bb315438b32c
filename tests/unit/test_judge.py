"""Every status of a schedule, whoever beats, whatever the memory check says."""

import itertools
from dataclasses import replace

import pytest

from labctl.migration.judge import Judgement, Seen, judge, verdict_of
from labctl.migration.schedule import ENDS
from labctl.results.schema import Outcome, Verdict

STATUSES = (*ENDS, "qemu-died", "hard-limit")
BEATS = ((False, False), (False, True), (True, False), (True, True))
CHECKS = ((False, False), (True, False), (True, True))
FIRED: tuple[frozenset[str], ...] = (frozenset(), frozenset({"limit"}), frozenset({"switch"}))

TABLE = list(itertools.product(STATUSES, BEATS, CHECKS, FIRED))


def seen(
    status: str = "completed",
    beats: tuple[bool, bool] = (False, True),
    check: tuple[bool, bool] = (True, True),
    fired: frozenset[str] = frozenset(),
    error: str | None = None,
) -> Seen:
    return Seen(status, fired, *beats, *check, error=error)


@pytest.mark.parametrize(("status", "beats", "check", "fired"), TABLE)
def test_the_whole_table(
    status: str, beats: tuple[bool, bool], check: tuple[bool, bool], fired: frozenset[str]
) -> None:
    judged = judge(seen(status, beats, check, fired))
    paused = status == "postcopy-paused"
    verdict = {
        (True, True): "duplicated",
        (False, True): "on_destination",
        (True, False): "on_source",
        (False, False): "paused_recoverable" if paused else "lost",
    }[beats]
    assert judged.verdict == verdict

    completed = status == "completed" and beats == (False, True) and check == (True, True)
    limited = status == "cancelled" and fired == {"limit"} and beats == (True, False)
    if completed:
        assert judged == Judgement("completed", "on_destination", None)
    elif limited:
        assert judged.outcome == "not_converged"
    else:
        assert judged.outcome == "failed"
    assert bool(judged.reason) is not completed
    Outcome(judged.outcome)
    Verdict(judged.verdict)


def test_a_cancel_that_does_not_end_is_told() -> None:
    """Seen with multifd: the source says `cancelling` for good, and its machine runs on."""
    hung = judge(seen("hard-limit", (True, False), fired=frozenset({"limit"})))
    assert hung.outcome == "failed"
    assert hung.reason == (
        "no end within the hard limit, though QEMU was told at the limit of total time to cancel; "
        "the machine runs on the source"
    )
    unlimited = judge(seen("hard-limit", (True, False)))
    assert unlimited.reason == "no end within the hard limit; the machine runs on the source"


def test_who_beats_decides_not_what_qemu_says() -> None:
    assert verdict_of(seen("failed", (False, True))) == "on_destination"
    assert verdict_of(seen("completed", (True, False))) == "on_source"
    assert judge(seen("completed", (True, True))).outcome == "failed"


@pytest.mark.parametrize("ended", [{"source"}, {"destination"}, {"source", "destination"}])
@pytest.mark.parametrize("beats", [(False, False), (False, True)])
def test_half_a_machine_is_none(ended: set[str], beats: tuple[bool, bool]) -> None:
    """In postcopy each end needs the other; the destination may beat on until it needs what is gone."""
    torn = Seen("qemu-died", frozenset({"switch"}), *beats, False, False,
                split=True, ended=frozenset(ended))  # fmt: skip
    judged = judge(torn)
    assert (judged.outcome, judged.verdict) == ("failed", "lost")
    for side in ended:
        assert side in (judged.reason or "")
    whole = replace(torn, split=False)
    assert verdict_of(whole) == ("on_destination" if beats[1] else "lost")
    paused = replace(torn, status="postcopy-paused", ended=frozenset())
    assert verdict_of(paused) == ("on_destination" if beats[1] else "paused_recoverable")


def test_the_limit_lost_the_race_against_completion() -> None:
    """QEMU's final status decides: a migration that completed while it was being cancelled has completed."""
    assert judge(seen("completed", fired=frozenset({"limit"}))).outcome == "completed"


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ((False, False), "the memory was not checked: no answer"),
        ((True, False), "the memory differs after the migration: no answer"),
    ],
)
def test_a_machine_whose_memory_was_not_shown_identical_has_not_completed(
    check: tuple[bool, bool], reason: str
) -> None:
    assert judge(seen(check=check, error="no answer")).reason == reason


def test_qemus_words_are_kept() -> None:
    judged = judge(seen("failed", (True, False), error="source: Connection reset"))
    assert judged.reason == (
        "QEMU says failed; the machine runs on the source: source: Connection reset"
    )


def test_a_status_nobody_knows_is_a_failure_that_names_it() -> None:
    judged = judge(seen("colo", (False, False)))
    assert (judged.outcome, judged.verdict) == ("failed", "lost")
    assert "QEMU says colo" in (judged.reason or "")


def test_the_words_are_those_that_are_stored() -> None:
    outcomes = {judge(seen(*row)).outcome for row in TABLE}
    verdicts = {judge(seen(*row)).verdict for row in TABLE}
    assert outcomes == {"completed", "not_converged", "failed"}
    assert verdicts == set(Verdict)


def test_a_source_that_says_completed_when_the_destination_died_has_lost_the_machine() -> None:
    """As seen of QEMU 7.2 with postcopy over RDMA: the destination beat, and aborted as the source ended."""
    died = (
        "destination: its QEMU ended with status -6: qemu-system-x86_64: ../../migration/migration.c:586: "
        "process_incoming_migration_co: Assertion `mis->from_src_file' failed."
    )
    nowhere = seen("completed", (False, False), (False, False), frozenset({"switch"}))
    judged = judge(replace(nowhere, error=died, ended=frozenset({"destination"})))
    assert (judged.outcome, judged.verdict) == ("failed", "lost")
    assert judged.reason == f"QEMU says completed; the machine beats nowhere: {died}"
