"""Results over soft-RoCE are marked wherever they are shown, and ranked nowhere."""

from pathlib import Path

import pytest

from labctl.analysis.compare import compare_levels
from labctl.analysis.frame import factors_of, summary, who_of
from labctl.analysis.metrics import with_derived
from labctl.analysis.properties import scorecard
from labctl.analysis.ranking import rankings
from labctl.campaign import Campaign, make_plan
from labctl.cli.closing import sentences
from labctl.cli.compare import described
from labctl.cli.compare import sentences as compared_sentences
from labctl.cli.plan import summary as plan_summary
from labctl.cli.results import Format, rendered
from labctl.monitoring.which import which_of
from labctl.report.answer import answer
from labctl.report.html import write_report
from labctl.results import load_run
from labctl.results.run import Run
from tests.synthetic import fake_run
from tests.unit.test_campaign_models import campaign
from tests.unit.test_rules import able

MARKED = "rdma (soft-RoCE)"
SAID = "it shows that it works, not how fast RDMA is"


def asked(*transports: str) -> Campaign:
    """Some transports under one load, often enough for intervals."""
    matrix = {"algorithm": ["precopy"], "transport": list(transports)}
    return campaign(matrix=matrix, repetitions=6, link={"bandwidth": "none", "mtu": "none"})


def run_of(out: Path, *transports: str, provider: str = "rxe") -> Run:
    """An invented run of them, by RDMA devices with that driver."""
    end = able(rdma_provider=provider)
    found = asked(*transports)
    return load_run(fake_run(out, found, plan=make_plan(found, {"a-b": (end, end)})))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """TCP and soft-RoCE."""
    return run_of(tmp_path_factory.mktemp("both"), "tcp", "rdma")


@pytest.fixture(scope="module")
def soft(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Soft-RoCE alone, which nothing else tells from RDMA."""
    return run_of(tmp_path_factory.mktemp("soft"), "rdma")


def test_the_frame_says_what_carried_each_trial(both: Run) -> None:
    frame = both.frame()
    assert set(frame["transport"]) == {"tcp", MARKED}
    assert list(frame["transport"].cat.categories) == ["tcp", MARKED]
    of_rdma = frame["transport"].astype("str") == MARKED
    assert set(frame[of_rdma]["rdma_provider"]) == {"rxe"}
    assert frame[~of_rdma]["rdma_provider"].isna().all()
    assert "rdma (soft-RoCE)" in rendered(frame, Format.CSV).decode()


def test_a_card_is_called_rdma(tmp_path: Path) -> None:
    frame = run_of(tmp_path, "tcp", "rdma", provider="mlx5_core").frame()
    assert set(frame["transport"]) == {"tcp", "rdma"}
    found = rankings(with_derived(frame), factors_of(frame))
    assert {place.who for ranking in found.found for place in ranking.places} == {
        "precopy tcp", "precopy rdma",
    }  # fmt: skip


def test_alone_it_is_marked_too(soft: Run) -> None:
    frame = soft.frame()
    assert set(who_of(frame)) == {f"precopy {MARKED}"}
    assert set(who_of(summary(frame))) == {f"precopy {MARKED}"}
    assert MARKED in rendered(frame, Format.TABLE).decode()


def test_nothing_ranks_it_against_tcp(both: Run) -> None:
    frame = with_derived(both.frame())
    found = rankings(frame, factors_of(frame))
    who = {place.who for ranking in found.found for place in ranking.places}
    assert who == {"precopy tcp"}
    cards = list(scorecard(frame, factors_of(frame)))
    assert {card.who for card in cards} == {"precopy tcp", f"precopy {MARKED}"}
    said = answer(found, cards)
    assert said is not None
    assert MARKED not in f"{said.lead} {said.points}".replace("completed", "")


def test_nothing_recommends_it_where_it_is_alone(soft: Run) -> None:
    frame = with_derived(soft.frame())
    found = rankings(frame, factors_of(frame))
    assert found.found == ()
    assert answer(found, list(scorecard(frame, factors_of(frame)))) is None


@pytest.mark.parametrize("name", ["both", "soft"])
def test_the_sentence_stands_where_a_run_is_shown(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run = request.getfixturevalue(name)
    assert sum(SAID in line for line in sentences(run, run.frame())) == 1
    page = write_report(run.path, tmp_path / "report.html").read_text()
    assert page.count(SAID) == 1
    assert MARKED in page


def test_a_comparison_says_it(both: Run) -> None:
    frame = both.frame()
    found = compare_levels(frame, "transport", ("tcp", "rdma"))
    assert found.caveat is not None
    assert SAID in compared_sentences(found)[-1]
    assert described(("a", "b"), found, [], [])["caveat"] == found.caveat
    tcp = frame[frame["transport"].astype("str") == "tcp"]
    assert compare_levels(tcp, "algorithm", ("precopy", "precopy")).caveat is None


def test_the_plan_and_what_is_scraped_say_it() -> None:
    end = able(rdma_provider="rxe")
    plan = make_plan(asked("tcp", "rdma"), {"a-b": (end, end)})
    assert sum(SAID in line for line in plan_summary(asked("tcp"), plan, list(plan.trials))) == 1
    assert {which.transport for which in which_of(plan).values()} == {"tcp", MARKED}
