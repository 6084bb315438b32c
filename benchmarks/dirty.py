"""Claim: the dirty curve that the guest tells is that of what it does."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.claim import Claim, NotMeasured, Tell
from benchmarks.lab import MIB, RunningGuest, opened, pair_of, running
from benchmarks.rates import Load
from benchmarks.rows import Limit, Row
from labctl.campaign.specs import PAGE_BYTES
from labctl.lab import Pair

LOAD = Load("random", {"pattern": "random"})
RATES_MIB = (40, 200)
MACHINES = 2
WATCHED_S = 5.0
LIMIT = Limit(least=0.97, most=1.03)
SAMPLED_S = 1
_SAMPLING_S = 10.0
_POLL_S = 0.1


@dataclass(frozen=True)
class Curve:
    """What one machine told: pages within a window, by the window's length in ms; and what it wrote."""

    pages: dict[int, float]
    writes_per_s: float
    sampled_bytes_per_s: float | None
    """QEMU's page sampling over one second, when it was asked"""


def closed_form(pages: int, writes: float) -> float:
    """How many of so many pages uniform random writes reach: N (1 - (1 - 1/N)^writes) (QEMU commit 34a68001f1)."""
    return float(pages * (1 - (1 - 1 / pages) ** writes))


def measure(tell: Tell) -> Iterator[Row]:
    """Two machines at each rate."""
    with opened() as lab:
        for number, rate in enumerate(RATES_MIB):
            tell(f"{rate} MiB/s", number / len(RATES_MIB))
            curves = [_curve(pair_of(lab), rate) for _ in range(MACHINES)]
            yield from rows(rate, LOAD.working_set_bytes // PAGE_BYTES, curves)


def rows(rate: int, pages: int, curves: list[Curve]) -> Iterator[Row]:
    """The told curve by the closed form, the farthest window; one machine by another; QEMU's sampling by the curve."""
    points = [
        {
            "window_ms": window_ms,
            "told_pages": told,
            "closed_form_pages": closed_form(pages, curve.writes_per_s * window_ms / 1000),
        }
        for curve in curves
        for window_ms, told in sorted(curve.pages.items())
    ]
    ratios = [point["told_pages"] / point["closed_form_pages"] for point in points]
    windows = sorted(curves[0].pages)
    what = f"dirty curve, uniform random writes at {rate} MiB/s"
    yield Row(
        f"{rate}-closed-form", f"{what}: told by closed form, the farthest from 1",
        _farthest(ratios), "", len(ratios), limit=LIMIT, points=points,
        note=f"windows of {', '.join(map(str, windows))} ms",
    )  # fmt: skip
    same = [curves[1].pages[window] / curves[0].pages[window] for window in windows]
    yield Row(
        f"{rate}-aa", f"A/A, {rate} MiB/s: one machine by another, the farthest from 1",
        _farthest(same), "", len(same),
    )  # fmt: skip
    sampled = [
        curve.sampled_bytes_per_s / (curve.pages[1000 * SAMPLED_S] * PAGE_BYTES / SAMPLED_S)
        for curve in curves
        if curve.sampled_bytes_per_s is not None
    ]
    yield Row(
        f"{rate}-sampled", f"{what}: QEMU's page sampling over {SAMPLED_S} s by the curve, the farthest from 1",
        _farthest(sampled) if sampled else None, "", len(sampled), points=sampled,
        note="" if sampled else "this QEMU gave none",
    )  # fmt: skip


def _farthest(ratios: list[float]) -> float:
    return max(ratios, key=lambda ratio: abs(ratio - 1))


def _curve(pair: Pair, rate: int) -> Curve:
    with running(pair, LOAD.guest(rate * MIB)) as machine:
        seen = machine.watch(WATCHED_S)
        load = pair.watch("forward").observer.call("observe.state")["load"]
        if load is None:
            raise NotMeasured("the guest told no dirty curve")
        sampled = _page_sampling(machine)
    return Curve(
        {int(ms): pages / windows for ms, windows, pages in load["curve"] if windows},
        seen["bytes_per_s"] / PAGE_BYTES,
        sampled,
    )


def _page_sampling(machine: RunningGuest) -> float | None:
    """QEMU's own figure in bytes per second; never by its dirty bitmap, which has crashed QEMU 7.2 under TCG."""
    arguments: dict[str, Any] = {"calc-time": SAMPLED_S, "mode": "page-sampling"}
    machine.qmp("calc-dirty-rate", **arguments)
    deadline = time.monotonic() + _SAMPLING_S
    while time.monotonic() < deadline:
        said = machine.qmp("query-dirty-rate")
        if said["status"] == "measured":
            return float(said["dirty-rate"]) * MIB
        time.sleep(_POLL_S)
    return None


CLAIM = Claim(
    "dirty-curve",
    f"""A guest writes pages of a 64 MiB working set uniformly at random at {" and ".join(map(str, RATES_MIB))} MiB/s. For each window it told
    (from exact page epochs, over {WATCHED_S:g} s) the pages are compared with N (1 - (1 - 1/N)^writes), for as many writes as it made by its own
    count. QEMU's figure is that of `calc-dirty-rate` by page sampling, which guesses from some hundred pages: told, and held to nothing.""",
    estimate_s=len(RATES_MIB) * MACHINES * (WATCHED_S + SAMPLED_S + 2.5),
    measure=measure,
)
