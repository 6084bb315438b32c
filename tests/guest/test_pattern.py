"""Which pages are written, how often, when and by whom."""

import itertools
import math
from collections.abc import Callable

import pytest

from labctl.campaign.profiles import MAX_STEPS
from labctl.node.beats import PHASE_RUN, Beat
from tests.guest.machine import MIB, PAGE_BYTES, Guest

Boot = Callable[..., Guest]
pytestmark = pytest.mark.qemu


def written(guest: Guest, pages: int, seconds: float = 0.5) -> list[int]:
    """How often each page was written in so long."""
    guest.phase(PHASE_RUN)
    guest.run_for(seconds)
    guest.check()
    return [epoch for epoch, _tick in guest.page_states(pages)]


@pytest.mark.parametrize("milli", [500, 1000, 1500])
def test_zipf_writes_ranks_by_their_power(boot: Boot, milli: int) -> None:
    """By chi squared over the ranks, rare ones put together: 4 standard deviations are allowed."""
    pages = 3000
    guest = boot(
        f"ws={pages * PAGE_BYTES} rate={800 * MIB} pattern=zipf zipf={milli} content=delta "
        "fill=zero",
        memory_bytes=32 * MIB,
    )
    epochs = written(guest, pages)
    stride = next(
        s for s in itertools.count((pages * 2654435769 >> 32) | 1) if math.gcd(s, pages) == 1
    )
    by_rank = [epochs[rank * stride % pages] for rank in range(pages)]
    weights = [(rank + 1) ** (-milli / 1000) for rank in range(pages)]
    scale = sum(epochs) / sum(weights)
    chi2, cells, expected, found = 0.0, 0, 0.0, 0
    for weight, count in zip(weights, by_rank, strict=True):
        expected += weight * scale
        found += count
        if expected >= 20:
            chi2 += (found - expected) ** 2 / expected
            cells, expected, found = cells + 1, 0.0, 0
    assert sum(epochs) > 20_000
    assert cells > 20
    assert chi2 < cells + 4 * math.sqrt(2 * cells)


def test_hot_pages_of_zipf_are_not_neighbours(boot: Boot) -> None:
    pages = 1 << 14
    guest = boot(f"ws={pages * PAGE_BYTES} rate={200 * MIB} pattern=zipf content=delta fill=zero")
    epochs = written(guest, pages)
    hottest = sorted(sorted(range(pages), key=lambda page: -epochs[page])[:32])
    assert min(b - a for a, b in itertools.pairwise(hottest)) > 32


@pytest.mark.parametrize("vcpus", [1, 2])
def test_once_writes_each_page_once_in_order_and_is_idle_then(boot: Boot, vcpus: int) -> None:
    pages = 2000
    guest = boot(
        f"ws={pages * PAGE_BYTES} rate={20 * MIB} pattern=once", vcpus=vcpus, memory_bytes=32 * MIB
    )
    guest.phase(PHASE_RUN)
    guest.run_for(0.15)
    guest.check()
    halves = [
        guest.page_states(pages)[i * pages // vcpus :][: pages // vcpus] for i in range(vcpus)
    ]
    for half in halves:
        epochs = [epoch for epoch, _ in half]
        assert 0 < sum(epochs) < pages // vcpus
        assert epochs == sorted(epochs, reverse=True)
    guest.send(b"R")
    done = guest.load_after(0.8)
    assert (done.pages_written, done.curve[0][2]) == (pages, pages)
    assert guest.check().pages_bad == 0
    assert {epoch for epoch, _ in guest.page_states(pages)} == {1}


def test_parts_share_the_working_set_and_the_rate(boot: Boot) -> None:
    pages, rate = 4000, 40 * MIB
    guest = boot(f"ws={pages * PAGE_BYTES} rate={rate} parts=3:1 pattern=sequential", vcpus=2)
    guest.phase(PHASE_RUN)
    beats = guest.run_for(1.0)
    (_, first), (_, last) = beats[0], beats[-1]
    work = [b - a for a, b in zip(first.work, last.work, strict=True)]
    assert work[0] / work[1] == pytest.approx(3, rel=0.05)
    guest.check()
    epochs = [epoch for epoch, _ in guest.page_states(pages)]
    total = guest.beats()[-1][1].work
    assert (sum(epochs[:3000]), sum(epochs[3000:])) == total


def test_reads_go_beside_the_writes(boot: Boot) -> None:
    guest = boot(f"ws={16 * MIB} rate={40 * MIB} reads=750000", memory_bytes=64 * MIB)
    load = guest.load_after(0.5)
    assert load.pages_read / load.pages_written == pytest.approx(3, abs=0.01)
    assert guest.check().pages_bad == 0


STEPS = ((200_000, 1.0), (300_000, 0.0), (100_000, 0.5), (50_000, 2.5))


def asked_pages(seconds: float, rate: int) -> float:
    """What the profile asks until then."""
    pages, left = 0.0, seconds
    for us, share in itertools.cycle(STEPS):
        length = min(left, us / 1e6)
        pages += length * share * rate / PAGE_BYTES
        left -= length
        if left <= 0:
            return pages
    raise AssertionError


@pytest.mark.parametrize("vcpus", [1, 2])
def test_a_profile_is_followed_page_by_page(boot: Boot, vcpus: int) -> None:
    """At each beat the work is what the profile has asked until then, or a little less (5 ms at the
    highest share are made up for); and never more than a page a vCPU ahead. In a rest nobody writes,
    save a vCPU that the host kept from its core until then: of such a round work is missing.

    vCPU 0 reads its clock, then what the others have written. Where the host takes it from its core in between, that is more
    than was asked by then: seldom, and never more than was asked by the next beat."""
    rate, seconds = 20 * MIB, 2.6
    steps = ",".join(f"{us}:{int(share * 1e6)}" for us, share in STEPS)
    guest = boot(f"ws={16 * MIB} rate={rate} steps={steps}", vcpus=vcpus, memory_bytes=64 * MIB)
    start, hz = guest.load().start_tsc, guest.hello().tsc_hz
    guest.run_for(seconds)
    beats = [beat for _, beat in guest.beats(PHASE_RUN) if beat.tsc > start]
    behind = [asked_pages((b.tsc - start) / hz, rate) - sum(b.work) for b in beats]
    ahead = [b for b in behind if b <= -vcpus - 1]
    assert len(ahead) < (0.01 * len(behind) if vcpus > 1 else 1)
    assert all(
        asked_pages((after.tsc - start) / hz, rate) - sum(beat.work) > -vcpus - 1
        for beat, after in itertools.pairwise(beats)
    )
    assert sorted(behind)[len(behind) // 2] < 0.05 * asked_pages(seconds, rate)
    rests: dict[int, list[tuple[tuple[int, ...], float]]] = {}
    for beat, pages in zip(beats, behind, strict=True):
        round_, at_s = divmod((beat.tsc - start) / hz, 0.65)
        if 0.21 < at_s < 0.49:
            rests.setdefault(int(round_), []).append((beat.work, pages))
    missing = [0.0, *(rest[-1][1] for rest in rests.values())]
    whole = [
        {work for work, _ in rest}
        for rest, before, after in zip(rests.values(), missing, missing[1:], strict=False)
        if after - before < vcpus + 1
    ]
    assert whole, "the host disturbed every round"
    assert all(len(works) == 1 for works in whole)


def test_the_longest_profile_reaches_the_guest(boot: Boot) -> None:
    steps = ",".join(["3600000000:10000000"] * MAX_STEPS)
    guest = boot(f"ws={MIB} rate={MIB} steps={steps}", memory_bytes=32 * MIB)
    load = guest.load_after(0.5)
    seconds = load.curve[0][1] / 100
    assert load.pages_written == pytest.approx(10 * MIB / PAGE_BYTES * seconds, rel=0.05)
    assert guest.check().pages_bad == 0


@pytest.mark.parametrize(
    ("append", "words"),
    [
        ("content=delta delta=12", "delta must be a multiple of 8"),
        ("content=delta delta=4104", "delta is larger than a page"),
        ("content=blue", "content is random, zero, constant or delta"),
        ("parts=1:1", "more parts than vCPUs"),
        ("parts=101", "a vCPU's part is too large"),
        ("steps=5", "a step of the profile is US:PPM"),
        ("steps=0:5", "a step of the profile is out of range"),
        ("steps=" + "1000:1," * 4096 + "1000:1", "more steps in the profile"),
    ],
)
def test_it_says_on_com1_what_makes_no_sense(boot: Boot, append: str, words: str) -> None:
    guest = boot(f"ws={MIB} {append}", memory_bytes=32 * MIB)
    guest.wait_for_words(f"labctl guest: {words}")
    assert not [seen for seen in guest.seen if isinstance(seen.record, Beat)]
