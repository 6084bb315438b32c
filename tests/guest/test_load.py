"""The beat and the load: as often, and as much, as was asked for."""

import itertools
import os
import signal
import statistics
import time
from collections.abc import Callable

import pytest

from labctl.node.beats import PHASE_CHECK, PHASE_FILL, PHASE_RUN
from tests.guest.machine import GIB, MIB, PAGE_BYTES, Guest, gaps_ms, written_bytes_per_s

Boot = Callable[..., Guest]
pytestmark = pytest.mark.qemu

WINDOWS = 5
TOLERANCE = 0.05


def assert_writes_at(guest: Guest, asked_bytes_per_s: int) -> None:
    """In one second of at most five, each vCPU writes its share of the rate, within tolerance.

    A vCPU that the host does not run loses work by design, so what else the machine does can only
    lower a window, and the kernel says how long it let each thread wait: that time is left out.
    No window may be above.
    """
    guest.phase(PHASE_RUN)
    windows = []
    for _ in range(WINDOWS):
        waited_s = guest.run_delay_s()
        rates = written_bytes_per_s(guest.run_for(1.0), guest.hello().tsc_hz)
        waited_s = [b - a for a, b in zip(waited_s, guest.run_delay_s(), strict=True)]
        share = asked_bytes_per_s / len(rates)
        assert max(rates) <= share * (1 + TOLERANCE)
        windows.append(list(zip(rates, waited_s, strict=True)))
        if all(rate >= share * (1 - TOLERANCE) * (1 - waited) for rate, waited in windows[-1]):
            return
    pytest.fail(f"asked {share:.4g} bytes/s of each vCPU; (rate, s not run) were {windows}")


@pytest.mark.parametrize("pattern", ["random", "sequential"])
@pytest.mark.parametrize("rate", [0, 40 * MIB, 400 * MIB])
def test_writes_at_the_rate_asked_and_beats_meanwhile(boot: Boot, rate: int, pattern: str) -> None:
    guest = boot(f"ws={64 * MIB} rate={rate} pattern={pattern}")
    assert_writes_at(guest, rate)
    beats = guest.beats(PHASE_RUN)
    assert statistics.median(gaps_ms(beats, guest.hello().tsc_hz)) <= 1.0
    beats = guest.beats()
    assert [b.seq for _, b in beats] == list(range(len(beats)))


def test_two_vcpus_share_the_rate(boot: Boot) -> None:
    rate = 40 * MIB
    assert_writes_at(boot(f"ws={64 * MIB} rate={rate}", vcpus=2), rate)


def test_the_period_can_be_asked_for(boot: Boot) -> None:
    guest = boot(f"ws={MIB} beat_us=250 fill=zero", memory_bytes=32 * MIB)
    guest.phase(PHASE_RUN)
    gaps = gaps_ms(guest.run_for(1.0), guest.hello().tsc_hz)
    assert statistics.median(gaps) == pytest.approx(0.25, rel=0.1)


def test_it_beats_while_it_fills_and_checks(boot: Boot) -> None:
    """With zeros, which are only looked at: a host may take milliseconds to find memory to write."""
    guest = boot(f"ws={MIB} fill=zero", memory_bytes=GIB)
    guest.phase(PHASE_RUN)
    assert guest.check().pages_bad == 0
    for phase in (PHASE_FILL, PHASE_CHECK):
        beats = guest.beats(phase)
        assert len(beats) > 50
        assert statistics.median(gaps_ms(beats, guest.hello().tsc_hz)) <= 1.0


def test_sequential_writes_every_page_in_turn(boot: Boot) -> None:
    """After n rounds each page of the working set was written n times: its epoch says so."""
    pages = 2048
    guest = boot(f"ws={pages * PAGE_BYTES} rate={40 * MIB} pattern=sequential fill=zero")
    guest.phase(PHASE_RUN)
    guest.run_for(1.0)
    guest.check()
    work = guest.beats()[-1][1].work[0]
    epochs = epochs_of(guest, pages)
    assert sum(epochs) == work
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[0] - epochs[-1] <= 1


def test_random_writes_are_spread_over_the_working_set(boot: Boot) -> None:
    """Counts of uniform draws are Poisson: their variance is their mean."""
    pages = 2048
    guest = boot(f"ws={pages * PAGE_BYTES} rate={400 * MIB} pattern=random fill=zero")
    guest.phase(PHASE_RUN)
    guest.run_for(0.5)
    guest.check()
    epochs = epochs_of(guest, pages)
    assert 0.8 < statistics.variance(epochs) / statistics.mean(epochs) < 1.25
    halves = [sum(epochs[: pages // 2]), sum(epochs[pages // 2 :])]
    assert abs(halves[0] - halves[1]) < 5 * sum(epochs) ** 0.5


def epochs_of(guest: Guest, pages: int) -> list[int]:
    """How often each page was written."""
    return [epoch for epoch, _tick in guest.page_states(pages)]


def test_a_stopped_machine_loses_no_beat(boot: Boot) -> None:
    guest = boot(f"ws={MIB} rate={40 * MIB} fill=zero", memory_bytes=32 * MIB)
    guest.phase(PHASE_RUN)
    for pause_s in (0.01, 0.1, 0.3):
        guest.qmp("stop")
        time.sleep(pause_s)
        after = len(guest.seen)
        guest.qmp("cont")
        guest.phase(PHASE_RUN, after=after)
    guest.run_for(0.2)
    beats = guest.beats()
    assert [b.seq for _, b in beats] == list(range(len(beats)))
    arrivals = sorted(b - a for (a, _), (b, _) in itertools.pairwise(beats))
    assert arrivals[-1] >= 0.3
    assert arrivals[-2] >= 0.1
    assert guest.check().pages_bad == 0


def test_time_not_run_is_work_lost(boot: Boot) -> None:
    """A process that sleeps 200 ms has its TSC run on; at most 5 ms of work may be made up for."""
    rate = 40 * MIB
    guest = boot(f"ws={MIB} rate={rate} fill=zero", memory_bytes=32 * MIB)
    guest.phase(PHASE_RUN)
    guest.run_for(0.2)
    os.kill(guest.process.pid, signal.SIGSTOP)
    time.sleep(0.2)
    after = len(guest.seen)
    os.kill(guest.process.pid, signal.SIGCONT)
    guest.phase(PHASE_RUN, after=after)
    guest.run_for(0.2)
    beats = [b for _, b in guest.beats(PHASE_RUN)]
    before, behind = max(itertools.pairwise(beats), key=lambda pair: pair[1].tsc - pair[0].tsc)
    later = next(b for b in beats if b.tsc > behind.tsc + guest.hello().tsc_hz // 50)
    pages = later.work[0] - before.work[0]
    run_s = 0.02 + 0.005 + 0.002  # what was run, what is made up for, and a beat's time
    assert (behind.tsc - before.tsc) / guest.hello().tsc_hz > 0.19
    assert pages * PAGE_BYTES <= rate * run_s
