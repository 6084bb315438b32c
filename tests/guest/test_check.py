"""The memory check finds what was altered, where it was altered, and nothing else."""

import random
import struct
import zlib
from collections.abc import Callable

import pytest

from labctl.node.beats import PHASE_CHECK, PHASE_CHECKED, PHASE_RUN
from tests.guest.machine import GIB, MIB, PAGE_BYTES, Guest, checked_ranges

Boot = Callable[..., Guest]
# The address of guest memory in QEMU, and /proc/PID/mem of a child: no privilege needed.
pytestmark = pytest.mark.qemu


def loaded(boot: Boot, append: str = "", **how: object) -> Guest:
    guest = boot(f"ws={16 * MIB} rate={200 * MIB} {append}", **({"memory_bytes": 64 * MIB} | how))
    guest.phase(PHASE_RUN)
    guest.run_for(0.2)
    return guest


def assert_clean(guest: Guest) -> None:
    report = guest.check()
    assert report.pages_checked * PAGE_BYTES == guest.hello().checked_bytes
    assert (report.pages_bad, report.first_bad_address) == (0, 0)
    assert (report.work_regressed, report.seq_regressed) == (0, 0)


def assert_finds(guest: Guest, address: int) -> None:
    """One altered byte makes one bad page; put back, none."""
    guest.flip(address)
    report = guest.check()
    assert (report.pages_bad, report.first_bad_address) == (1, address // PAGE_BYTES * PAGE_BYTES)
    guest.flip(address)
    assert_clean(guest)


@pytest.mark.parametrize("fill", ["random", "zero"])
@pytest.mark.parametrize("vcpus", [1, 2])
def test_finds_one_altered_byte(boot: Boot, fill: str, vcpus: int) -> None:
    guest = loaded(boot, f"fill={fill} seed=7", vcpus=vcpus)
    assert_clean(guest)
    hello = guest.hello()
    places = random.Random(1)
    for _ in range(5):
        assert_finds(guest, hello.ws_start + places.randrange(hello.ws_bytes))
        for start, length in checked_ranges(hello):
            assert_finds(guest, start + places.randrange(length))


def test_finds_one_altered_byte_at_the_edges(boot: Boot) -> None:
    guest = loaded(boot)
    assert_clean(guest)
    hello = guest.hello()
    edges = [(hello.ws_start, hello.ws_bytes), *checked_ranges(hello)]
    for start, length in edges:
        assert_finds(guest, start)
        assert_finds(guest, start + length - 1)


def test_finds_one_altered_byte_above_4_gib(boot: Boot) -> None:
    guest = loaded(boot, "fill=zero", memory_bytes=5 * GIB, machine="q35")
    hello = guest.hello()
    assert hello.fill_start2 == 4 * GIB
    assert_clean(guest)
    assert_finds(guest, hello.fill_start2 + hello.fill_length2 - 1)


@pytest.mark.parametrize("address", [0x10, 0x9A000, 0x100010])
def test_finds_a_change_of_what_must_not_change(boot: Boot, address: int) -> None:
    """The firmware's memory below 1 MiB, and the image (here: its multiboot header)."""
    guest = loaded(boot)
    assert_clean(guest)
    guest.flip(address)
    report = guest.check()
    assert report.pages_bad == 1
    assert report.first_bad_address <= address


def test_a_stale_page_is_found(boot: Boot) -> None:
    """A migration that forgets a page leaves an older content of it, whole and well-formed."""
    guest = loaded(boot, "pattern=sequential")
    assert_clean(guest)
    page = guest.hello().ws_start + 3 * PAGE_BYTES
    old = guest.peek(page, PAGE_BYTES)
    guest.send(b"R")
    guest.phase(PHASE_RUN, after=len(guest.seen))
    guest.run_for(0.3)
    assert_clean(guest)
    new = guest.peek(page, PAGE_BYTES)
    assert new != old
    guest.poke(page, old)
    report = guest.check()
    assert (report.pages_bad, report.first_bad_address) == (1, page)
    guest.poke(page, new)
    assert_clean(guest)


def test_work_that_went_backwards_is_found(boot: Boot) -> None:
    """The epochs of a vCPU's pages add up to its work."""
    guest = loaded(boot)
    assert_clean(guest)
    hello = guest.hello()
    states = guest.page_states(hello.ws_bytes // PAGE_BYTES)
    # Which pages were written by now is chance and the machine's speed: of one that was, a write is taken away.
    page, epoch = next((page, epoch) for page, (epoch, _tick) in enumerate(states) if epoch)
    guest.poke(guest.page_states_address + 8 * page, struct.pack("<I", epoch - 1))
    report = guest.check()
    assert (report.work_regressed, report.seq_regressed, report.pages_bad) == (1, 0, 1)
    assert report.first_bad_address == hello.ws_start + page * PAGE_BYTES


def test_a_sequence_that_went_backwards_is_found(boot: Boot) -> None:
    """Against a copy of seq that lies far from it, by whatever check comes next."""
    guest = loaded(boot)
    assert_clean(guest)
    shadow = guest.hello().ws_start - PAGE_BYTES
    (kept,) = struct.unpack("<I", guest.peek(shadow, 4))
    guest.poke(shadow, struct.pack("<I", kept + 1000))
    guest.run_for(0.1)
    report = guest.check()
    assert (report.work_regressed, report.seq_regressed, report.pages_bad) == (0, 1, 0)


def test_checks_resume_and_check_again(boot: Boot) -> None:
    guest = loaded(boot, vcpus=2)
    for _ in range(20):
        assert_clean(guest)
        after = len(guest.seen)
        guest.send(b"R")
        guest.phase(PHASE_RUN, after=after)


def test_nothing_is_written_while_checked(boot: Boot) -> None:
    guest = loaded(boot)
    assert_clean(guest)
    after = len(guest.seen)
    guest.run_for(0.2)
    beats = [b for _, b in guest.beats(after=after)]
    assert {b.phase for b in beats} == {PHASE_CHECKED}
    assert len({b.work for b in beats}) == 1


def test_256_mib_are_checked_in_well_under_half_a_second(boot: Boot) -> None:
    guest = boot(f"ws={64 * MIB} rate=0")
    guest.phase(PHASE_RUN)
    took_s = []
    for _ in range(3):
        sent = len(guest.seen)
        guest.check()
        beats = guest.beats(PHASE_CHECK, after=sent)
        took_s.append((beats[-1][1].tsc - beats[0][1].tsc) / guest.hello().tsc_hz)
    assert min(took_s) < 0.3


def test_random_content_does_not_compress_and_depends_on_all_it_should(boot: Boot) -> None:
    """f(seed, page, epoch), against the formula of labctl/guest/src/content.h."""
    guest = loaded(boot, "seed=7 pattern=sequential")
    assert_clean(guest)
    hello = guest.hello()
    pages = hello.ws_bytes // PAGE_BYTES
    states = guest.page_states(pages)
    for page in (0, 1, pages - 1):
        held = guest.peek(hello.ws_start + page * PAGE_BYTES, PAGE_BYTES)
        assert held == content(7, page, states[page][0])
    outside = guest.peek(hello.fill_start1, MIB)
    assert outside[:PAGE_BYTES] == content(7, pages, 0)
    assert len(zlib.compress(outside, 9)) > len(outside)
    assert content(7, 0, 1) != content(8, 0, 1)


M64 = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15


def mix(z: int) -> int:
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & M64
    z = (z ^ z >> 27) * 0x94D049BB133111EB & M64
    return z ^ z >> 31


def content(seed: int, page: int, epoch: int) -> bytes:
    step = mix(mix((seed + page * STEP) & M64) + epoch & M64)
    word = mix(step)
    words = []
    for _ in range(PAGE_BYTES // 8):
        words.append(word)
        step = (step + STEP) & M64
        word = (word + step) & M64
    return struct.pack("<512Q", *words)
