"""What a write leaves behind, of each kind: the page is f(seed, page, epoch), and the check knows it."""

import struct
from collections.abc import Callable
from itertools import starmap

import pytest

from labctl.node.beats import PHASE_RUN
from tests.guest.machine import MIB, PAGE_BYTES, Guest
from tests.guest.test_check import M64, STEP, assert_clean, assert_finds, content, mix

Boot = Callable[..., Guest]
pytestmark = pytest.mark.qemu

PAGES = 1024
DELTA_BYTES = 256


def constant(seed: int, page: int, epoch: int) -> bytes:
    return content(seed, page, epoch)[:8] * (PAGE_BYTES // 8)


def delta(seed: int, page: int, epoch: int) -> bytes:
    """Random of epoch 0 but for one run, at the page's own place."""
    base = content(seed, page, 0)
    (word,) = struct.unpack("<Q", base[:8])
    words = DELTA_BYTES // 8
    at = 8 * ((word >> 32) * (PAGE_BYTES // 8 - words + 1) >> 32)
    return base[:at] + content(seed, page, epoch)[:DELTA_BYTES] + base[at + DELTA_BYTES :]


CONTENTS = {
    "random": content,
    "zero": lambda _seed, _page, _epoch: bytes(PAGE_BYTES),
    "constant": constant,
    "delta": delta,
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_page_holds_what_it_should_and_one_altered_byte_is_found(boot: Boot, kind: str) -> None:
    guest = boot(
        f"ws={PAGES * PAGE_BYTES} rate={100 * MIB} seed=7 fill=constant content={kind} "
        f"delta={DELTA_BYTES} pattern=zipf zipf=800",
        memory_bytes=32 * MIB,
        vcpus=2,
    )
    guest.phase(PHASE_RUN)
    guest.run_for(0.2)
    assert_clean(guest)
    hello, states = guest.hello(), guest.page_states(PAGES)
    held = guest.peek(hello.ws_start, PAGES * PAGE_BYTES)
    assert len({epoch for epoch, _ in states}) > 3
    for page in range(0, PAGES, 37):
        at = page * PAGE_BYTES
        assert held[at : at + PAGE_BYTES] == CONTENTS[kind](7, page, states[page][0])
    assert guest.peek(hello.fill_start1, PAGE_BYTES) == constant(7, PAGES, 0)
    for at in (hello.ws_start, hello.ws_start + 777 * PAGE_BYTES + 2047, hello.fill_start1 + 99):
        assert_finds(guest, at)


def test_a_delta_write_changes_so_many_bytes_and_no_more(boot: Boot) -> None:
    """Between any two epochs, all of them in one place."""
    guest = boot(f"ws={16 * PAGE_BYTES} rate={MIB} content=delta delta=40", memory_bytes=32 * MIB)
    guest.phase(PHASE_RUN)
    start, seen = guest.hello().ws_start, []
    for _ in range(5):
        guest.check()
        seen.append(guest.peek(start, PAGE_BYTES))
        guest.send(b"R")
        guest.phase(PHASE_RUN, after=len(guest.seen))
        guest.run_for(0.1)
    assert len(set(seen)) > 2
    changed = [i for i in range(PAGE_BYTES) if len({page[i] for page in seen}) > 1]
    assert changed[-1] - changed[0] < 40


def test_the_generators_of_this_test_are_not_the_same() -> None:
    """A guard for the formulas above: each kind differs from the others, and by epoch, but zero."""
    pages = list(starmap(lambda kind, epoch: CONTENTS[kind](7, 3, epoch), [(k, e) for k in CONTENTS for e in (1, 2)]))  # fmt: skip
    assert len(set(pages)) == 7
    assert mix(STEP) & M64 == mix(STEP)
