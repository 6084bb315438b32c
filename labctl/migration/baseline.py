"""The baseline: the guest works undisturbed, and its load is verified."""

from typing import Final

from labctl.campaign.cells import Cell
from labctl.campaign.estimate import baseline_window_s
from labctl.campaign.models import TimingSpec
from labctl.campaign.profiles import Asked
from labctl.migration.bench import Bench
from labctl.migration.judge import Ends, Judgement
from labctl.migration.load import Window, judged
from labctl.migration.raw import RawTrial

BASELINE_WINDOWS: Final = 5
"""windows in which the rate may be reached before the load counts as invalid"""


def verify_load(bench: Bench, raw: RawTrial, cell: Cell, timing: TimingSpec) -> None:
    """Let the guest work undisturbed until it has done so for one window at the rate asked.

    A host that takes the core away for a moment spoils a window; a load that cannot be reached spoils them all: Ends.
    """
    asked = Asked.of(cell.guest, cell.profile)
    window_s = baseline_window_s(cell.profile, timing)
    windows: list[float | None] = []
    best: Window | None = None
    kept = raw.guest["write_rate"] = {
        "asked_bytes_per_s": asked.mean_bytes_per_s,
        "window_s": window_s,
        "windows_bytes_per_s": windows,
    }
    for _ in range(BASELINE_WINDOWS):
        started = bench.clocks.now_ns()
        bench.watch(window_s)
        bench.heed_deaths()
        rate = bench.observer.call("observe.rate", since_ns=started)
        measured = rate["bytes_per_s"]
        # Up to the last beat that was counted: an answer that comes late is no part of what was judged.
        raw.times_ns["baseline_start"] = started
        raw.times_ns["baseline_end"] = rate.get("until_ns", bench.clocks.now_ns())
        windows.append(measured)
        if measured is None:
            raise Ends(Judgement("failed", "lost", "the guest did not beat in the baseline"))
        window = judged(asked, rate, bench.observed())
        best = max(best or window, window, key=lambda each: each.share)
        kept["asked_bytes_per_s"] = window.asked_bytes_per_s
        kept["measured_bytes_per_s"] = window.measured_bytes_per_s
        if window.reached:
            return
    assert best is not None
    reason = (
        f"asked for {_mib_per_s(best.asked_bytes_per_s)}, "
        f"this machine reached {_mib_per_s(best.measured_bytes_per_s)}"
    )
    raise Ends(Judgement("invalid_load", "on_source", reason))


def _mib_per_s(bytes_per_s: float) -> str:
    value = bytes_per_s / 2**20
    return f"{value:.{0 if value >= 10 else 3}f} MiB/s"
