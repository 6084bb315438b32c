"""Loads of every kind through a whole trial: what was asked and achieved is stored, and true."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labctl import api
from labctl.campaign import Asked, Campaign, Profile
from labctl.campaign.specs import file_name_of
from labctl.results.run import Trial, load_run
from tests.system.bench import BUSY_TRIES, campaign
from tests.system.conftest import own_state_root

pytestmark = [pytest.mark.root, pytest.mark.qemu, pytest.mark.slow, pytest.mark.timeout(300)]

PAGE_BYTES = 4096
TRACE = "seconds,share\n0,1\n0.2,0.25\n0.6,0.5\n1.2,0\n"
LOADS: dict[str, dict[str, str]] = {
    "zipf": {"pattern": "zipf", "content": "delta", "read_share": "50%"},
    "once": {"pattern": "once", "content": "constant"},
    "trace": {"profile": "web", "vcpus": "2", "vcpu_parts": "3:1"},
}


def asked_of(load: str) -> Campaign:
    timing = {"baseline": "600ms"}
    plain = campaign(guest={"write_rate": "20MiB/s"}, timing=timing).model_dump()
    guest = {file_name_of(key): value for key, value in plain.pop("guest").items()}
    traces = {"profiles": {"web": {"trace": "web.csv"}}, "traces": {"web.csv": TRACE}}
    return Campaign.model_validate({**plain, **traces, "guest": {**guest, **LOADS[load]}})


@pytest.fixture(scope="module", params=LOADS)
def trial(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trial]:
    with own_state_root():
        for _ in range(BUSY_TRIES):
            out: Path = tmp_path_factory.mktemp("runs")
            run = load_run(api.run(asked_of(request.param), out=out).directory)
            (found,) = run.trials()
            if found.record.outcome != "invalid_load":
                break
        yield found


def test_it_completes_with_the_load_that_was_asked(trial: Trial) -> None:
    record = trial.record
    assert (record.outcome, record.reason) == ("completed", None)
    assert record.figures["memory_identical"] is True
    rate = record.guest.write_rate
    assert rate is not None
    assert rate.asked_bytes_per_s
    assert rate.measured_bytes_per_s == pytest.approx(rate.asked_bytes_per_s, rel=0.05)
    assert record.figures["write_rate_asked_bytes_per_s"] == round(rate.asked_bytes_per_s)


def test_its_account_is_that_of_its_profile_reads_and_pages(trial: Trial) -> None:
    record = trial.record
    guest = record.spec["guest"]
    load = record.guest.load
    assert load is not None
    assert load.before is not None
    assert load.during is not None
    once = guest["working_set_bytes"] if guest["pattern"] == "once" else None
    asked = Asked(
        guest["write_rate_bytes_per_s"], Profile.model_validate(record.spec["profile"]), once
    )
    wanted = asked.pages(load.before.seconds)
    assert 0.8 * wanted <= load.before.pages_written <= wanted + guest["vcpus"]
    share = guest["read_share"]
    assert load.before.pages_read == pytest.approx(
        load.before.pages_written * share / (1 - share), rel=0.02, abs=2
    )
    pages = {point.window_ms: point.pages for point in load.before.dirty_curve}
    assert load.before.pages_written >= pages[10] >= pages[20] >= pages[100] > 0
    assert pages[10] >= pages[50] >= pages[100]
    mean = pages[100] * PAGE_BYTES / (load.before.seconds * 10)
    assert record.figures["dirty_in_100ms_bytes"] == pytest.approx(mean)


def test_its_brownout_and_work_lost_can_be_had(trial: Trial) -> None:
    figures = trial.record.figures
    assert isinstance(figures["brownout_ms"], float)
    lost = figures["work_lost_s"]
    assert isinstance(lost, float)
    away = figures["blackout_ms"]
    assert isinstance(away, float)
    assert lost <= 20
    if trial.record.spec["guest"]["pattern"] == "zipf":
        assert lost >= away / 1e3 * 0.5
