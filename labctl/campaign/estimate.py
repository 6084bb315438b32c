"""How long a trial and a run may take: simple arithmetic for a plan and a progress bar, never for a claim."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from heapq import heapify, heapreplace
from math import sqrt

from labctl.campaign.cells import Cell
from labctl.campaign.planned import PlannedTrial
from labctl.campaign.profiles import Profile
from labctl.campaign.specs import LinkSpec, TimingSpec

TRIAL_OVERHEAD_S = 1.0
"""Starting both QEMUs, booting the guest, taking all down again."""
LONGEST_BASELINE_S = 30.0
"""A profile with a longer period is judged by a part of it."""
FILL_BYTES_PER_S = 500 * 2**20
"""How fast the guest fills its memory before, and checks it after."""

UNSHAPED_BITS_PER_S = 10**10
"""What a link may carry that is left as it is."""
BARE_ROUND_TRIP_S = 0.0002
"""Of a link without a delay."""
TCP_WINDOW_BYTES = 3 * 2**20
"""What a connection has under way at most: about half of Linux's largest receive buffer (`tcp_rmem`), 6 MiB."""
MTU_BYTES, HEADER_BYTES = 1500, 52
"""A packet's payload is smaller than it by the headers of IP and TCP."""
STALLED_PASSES = 2
"""Passes until a hybrid that waits for a stall has seen one."""


def estimate_trial_s(cell: Cell, timing: TimingSpec) -> float:
    """A trial's estimated seconds.

    fixed overhead + filling and checking the memory + baseline + settle + transfer.
    """
    around = TRIAL_OVERHEAD_S + 2 * cell.guest.memory_bytes / FILL_BYTES_PER_S
    watched = baseline_window_s(cell.profile, timing) + timing.settle_s
    return round(around + watched + estimate_transfer_s(cell), 3)


def baseline_window_s(profile: Profile, timing: TimingSpec) -> float:
    """How long the load is watched at a time before it is judged: `timing.baseline`, and at least a
    period of its profile, as far as that is not longer than LONGEST_BASELINE_S.
    """
    return max(timing.baseline_s, min(profile.period_s, LONGEST_BASELINE_S))


def estimate_transfer_s(cell: Cell) -> float:
    """The migration's estimated seconds, by its link (R), bytes that count (M), write rate (W).

    With w = W/R, and D = min(working set, w M) the bytes that one pass leaves dirty:

    - stop-and-copy, postcopy: M / R, each page goes once;
    - hybrid: (M + passes x D) / R, or its time before the switch + D / R;
    - precopy: (M + D / (1 - w)) / R, the sum of ever shorter passes; where w >= 1 and the working
      set does not go over within the downtime either, it ends at its limit.

    Zero pages cost next to nothing, so with `fill: zero` M is the working set, and with `content:
    zero` what is outside. Of a profile the mean counts; of `delta` whole pages do, as without XBZRLE.
    """
    guest, algorithm = cell.guest, cell.algorithm
    rate = estimate_link_bytes_per_s(cell.link, max(1, algorithm.multifd_channels))
    if algorithm.max_bandwidth_bytes_per_s:
        rate = min(rate, algorithm.max_bandwidth_bytes_per_s)
    outside = 0 if guest.fill == "zero" else guest.memory_bytes - guest.working_set_bytes
    inside = 0 if guest.content == "zero" else guest.working_set_bytes
    counted = inside + outside
    written = guest.write_rate_bytes_per_s * cell.profile.mean / rate
    if guest.content == "zero":
        return counted / rate
    dirty = min(guest.working_set_bytes, written * counted)
    if algorithm.kind == "hybrid":
        if algorithm.switch.after_time_s is not None:
            return algorithm.switch.after_time_s + dirty / rate
        return (counted + (algorithm.switch.after_passes or STALLED_PASSES) * dirty) / rate
    if algorithm.kind != "precopy":
        return counted / rate
    if written < 1:
        return min(cell.limits.total_time_s, (counted + dirty / (1 - written)) / rate)
    if guest.working_set_bytes <= rate * cell.limits.downtime_s:
        return (counted + dirty) / rate
    return cell.limits.total_time_s


def estimate_link_bytes_per_s(link: LinkSpec, streams: int) -> float:
    """What so many TCP streams may get of a link: its rate, and together no more than a window each round trip. With loss, a
    stream's window is sqrt(3 / (2 p)) packets in the middle (Mathis, Semke, Mahdavi, Ott; CCR 27(3), 1997).
    """
    rate = (link.bandwidth_bits_per_s or UNSHAPED_BITS_PER_S) / 8
    if link == link.bare:
        return rate
    window = float(TCP_WINDOW_BYTES)
    if link.loss:
        window = min(window, sqrt(1.5 / link.loss) * ((link.mtu or MTU_BYTES) - HEADER_BYTES))
    return min(rate, streams * window / (BARE_ROUND_TRIP_S + 2 * link.delay_s))


def estimate_run_s(
    trials: Iterable[PlannedTrial], pairs: Collection[str], further_s: Iterable[float] = ()
) -> float:
    """The estimated seconds of a run over pairs (none: as for one), each warmed up first; of further blocks, their seconds."""
    ahead = dict.fromkeys(pairs or ("",), 0.0)
    blocks: dict[int, float] = defaultdict(float)
    for trial in trials:
        if trial.pair in ahead:
            ahead[trial.pair] += trial.estimate_s
        else:
            blocks[trial.block] += trial.estimate_s
    return makespan_s(ahead.values(), (*blocks.values(), *further_s))


def makespan_s(ahead: Iterable[float], blocks: Iterable[float]) -> float:
    """When the last pair is done, if each has so many seconds ahead of it, and takes the next block when it is free."""
    free = list(ahead)
    heapify(free)
    for block in blocks:
        heapreplace(free, free[0] + block)
    return max(free)
