"""It boots quickly wherever it may be put, and says what memory it has."""

from collections.abc import Callable

import pytest

from labctl.node.beats import PHASE_RUN
from tests.guest.machine import GIB, MIB, NONCE, Guest, checked_ranges

Boot = Callable[..., Guest]
pytestmark = pytest.mark.qemu

BOOT_S = 1.0


@pytest.mark.parametrize("machine", ["pc", "q35"])
@pytest.mark.parametrize("cpu", ["qemu64", "max"])
@pytest.mark.parametrize("vcpus", [1, 2])
@pytest.mark.parametrize("memory_bytes", [32 * MIB, 256 * MIB, 5 * GIB])
def test_boots_within_a_second(
    boot: Boot, machine: str, cpu: str, vcpus: int, memory_bytes: int
) -> None:
    fill = "zero" if memory_bytes > GIB else "random"
    for attempt in range(3):  # the first may have to read QEMU from a disk
        guest = boot(
            f"ws={8 * MIB} rate=0 fill={fill}",
            machine=machine,
            cpu=cpu,
            vcpus=vcpus,
            memory_bytes=memory_bytes,
        )
        guest.hello()
        if guest.seen[0].at_s - guest.started_s < BOOT_S:
            break
        assert attempt < 2
        guest.process.kill()
    hello = guest.hello()
    assert (hello.nonce, hello.vcpus, hello.ws_bytes) == (NONCE, vcpus, 8 * MIB)
    assert memory_bytes - MIB < hello.memory_bytes <= memory_bytes
    assert hello.memory_bytes - hello.checked_bytes < 2 * MIB
    outside = sum(length for _, length in checked_ranges(hello))
    assert outside + hello.ws_bytes == hello.checked_bytes
    guest.phase(PHASE_RUN)
    assert len(guest.beats(PHASE_RUN)[0][1].work) == vcpus


def test_the_clock_it_calibrates_is_the_observers(boot: Boot) -> None:
    guest = boot(f"ws={MIB} rate=0 fill=zero", memory_bytes=32 * MIB)
    guest.phase(PHASE_RUN)
    beats = guest.run_for(2)
    # The quickest arrivals of both halves: what is later was late for reasons of the host.
    tsc_hz = guest.hello().tsc_hz
    offsets = [at_s - beat.tsc / tsc_hz for at_s, beat in beats]
    drift_s = min(offsets[len(offsets) // 2 :]) - min(offsets[: len(offsets) // 2])
    assert abs(drift_s) < 5e-4, "the TSC is off by more than 500 ppm"


def test_a_late_observer_gets_a_hello(boot: Boot) -> None:
    guest = boot(f"ws={MIB} fill=zero", memory_bytes=32 * MIB)
    first = guest.hello()
    again = guest.wait_for(
        lambda r: type(r) is type(first) and r.tsc > first.tsc, "second HELLO", timeout_s=5
    ).record
    assert 0.9 < (again.tsc - first.tsc) / first.tsc_hz < 2
    assert again._replace(tsc=0) == first._replace(tsc=0)


@pytest.mark.parametrize("ws_bytes", [3 * GIB, 4 * GIB])
def test_a_working_set_may_cross_the_hole_below_4_gib(boot: Boot, ws_bytes: int) -> None:
    guest = boot(f"ws={ws_bytes} rate=0 fill=zero", machine="q35", memory_bytes=5 * GIB)
    hello = guest.hello()
    assert hello.fill_length1 == 0
    below = hello.fill_start1 - hello.ws_start
    assert hello.fill_start2 == 4 * GIB + ws_bytes - below
    assert below + hello.fill_length2 + (ws_bytes - below) == hello.checked_bytes


@pytest.mark.parametrize(
    ("append", "words"),
    [
        (f"ws={64 * MIB}", "the working set does not fit"),
        ("ws=64MiB", "not a number on the command line"),
        ("ws=4096 pattern=zigzag", "pattern is random, sequential, zipf or once"),
        ("ws=4096 vcpus=99", "vcpus must be 1 to"),
        ("ws=4096 vcpus=2", "not so many vCPUs here"),
        ("ws=0 rate=1", "a working set of a page a vCPU at least"),
    ],
)
def test_it_says_on_com1_why_it_cannot_run(boot: Boot, append: str, words: str) -> None:
    guest = boot(append, memory_bytes=32 * MIB)
    guest.wait_for_words(f"labctl guest: {words}")
    assert not guest.seen
