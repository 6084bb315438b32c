"""Pauses of known length against what the beats say of them: how true the instrument is.

The truth of a pause is QEMU's own: the times of its STOP and RESUME events. What is seen is the gap in the
beats, as the observer stamps them. A beat comes about every half millisecond, so a gap is up to a
millisecond longer than its pause; the rest is the host's scheduling.
"""

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from labctl.lab import End, Pair
from labctl.results.raw import PHASE_RUN, beats_frame

LENGTHS_MS = (10, 20, 50, 100, 200, 500, 1000)
BETWEEN_S = 0.15
"""the guest runs undisturbed between two pauses"""
_WAIT_S = 20.0
_GUEST = {"memory_bytes": 64 << 20, "working_set_bytes": 4 << 20}
_NONCE = 0x9A05E5


@dataclass(frozen=True)
class Pause:
    """One pause: as it was asked, as QEMU made it, as the beats showed it (None: not at all)."""

    asked_ms: float
    true_ms: float
    seen_ms: float | None

    @property
    def error_ms(self) -> float:
        """Seen less true; NaN when it was not seen."""
        return float("nan") if self.seen_ms is None else self.seen_ms - self.true_ms


@dataclass(frozen=True)
class Measured:
    """Pauses in the order they were made, and how even the beats were between them."""

    pauses: list[Pause]
    gap_p99_ms: float
    """99 of 100 gaps between beats are shorter while nothing is paused: what the host alone does to them"""


def measure(
    pair: Pair, lengths_ms: Iterable[float] = LENGTHS_MS, *, repeats: int = 5, seed: int = 1
) -> Measured:
    """Stop and continue a machine on the pair's first host, in an order shuffled by `seed`."""
    order = [length for length in lengths_ms for _ in range(repeats)]
    random.Random(seed).shuffle(order)
    end, observer = pair.a, pair.observer
    paths = observer.call("observe.start", nonce=_NONCE)["paths"]
    try:
        end.node.call(
            "machine.start",
            wait_s=_WAIT_S,
            machine=_machine(end, paths["source"]),
            timeout_s=_WAIT_S,
        )
        observer.call(
            "observe.wait", wait_s=_WAIT_S, side="source", name="run", timeout_s=_WAIT_S, phase="run"
        )  # fmt: skip
        for length_ms in order:
            time.sleep(BETWEEN_S)
            _qmp(end, "stop")
            time.sleep(length_ms / 1000)
            _qmp(end, "cont")
        time.sleep(BETWEEN_S)
    finally:
        ended = end.node.call("machine.end", wait_s=_WAIT_S)
        taken = observer.call("observe.take", wait_s=_WAIT_S)
    return read(order, ended["events"], taken)


def read(
    order: Sequence[float], events: Sequence[dict[str, Any]], taken: dict[str, Any]
) -> Measured:
    """The pauses in what a node told at the end of its machine, and an observer of its beats."""
    anchor = taken["anchor"]
    offset = anchor["realtime_ns"] - anchor["monotonic_ns"]
    moments = {
        name: [e["qemu_realtime_ns"] - offset for e in events if e["name"] == name]
        for name in ("STOP", "RESUME")
    }
    beats = beats_frame(_unpack(taken["records"]), taken["vcpus"])
    t_ns = np.sort(beats.loc[beats["phase"] == PHASE_RUN, "t_ns"].to_numpy(np.int64))
    # A machine that starts resumes too, without having been stopped.
    resumes = moments["RESUME"][len(moments["RESUME"]) - len(order) :]
    gaps_ms = np.diff(t_ns) / 1e6
    paused = np.zeros(len(gaps_ms), dtype=bool)
    pauses = []
    for asked_ms, stop, resume in zip(order, moments["STOP"], resumes, strict=True):
        after = int(np.searchsorted(t_ns, (stop + resume) // 2))
        seen_ms = None
        if 0 < after < len(t_ns):
            seen_ms = float(gaps_ms[after - 1])
            paused[after - 1] = True
        true_ms = (resume - stop) / 1e6
        pauses.append(Pause(asked_ms, true_ms, seen_ms))
    return Measured(pauses, float(np.percentile(gaps_ms[~paused], 99)))


def table(measured: Measured) -> str:
    """Medians by length, and the worst error of each."""
    pauses = measured.pauses
    lines = ["asked ms    n   true ms   seen ms   median error ms   worst ms"]
    for asked_ms in sorted({pause.asked_ms for pause in pauses}):
        same = [pause for pause in pauses if pause.asked_ms == asked_ms]
        seen = [pause.seen_ms for pause in same if pause.seen_ms is not None]
        errors = [pause.error_ms for pause in same if pause.seen_ms is not None]
        worst = max(errors, key=abs, default=float("nan"))
        lines.append(
            f"{asked_ms:8g} {len(same):4d} {median(p.true_ms for p in same):9.2f} "
            f"{median(seen) if seen else float('nan'):9.2f} "
            f"{median(errors) if errors else float('nan'):17.2f} {worst:10.2f}"
        )
    lines.append(f"between pauses, 99 of 100 gaps are below {measured.gap_p99_ms:.2f} ms")
    return "\n".join(lines)


def _qmp(end: End, execute: str) -> None:
    end.node.call("machine.qmp", execute=execute, timeout_s=_WAIT_S, wait_s=_WAIT_S)


def _unpack(text: str) -> bytes:
    from labctl.node.protocol import unpack

    return unpack(text)


def _machine(end: End, beats_socket: str) -> dict[str, Any]:
    capabilities = end.capabilities
    return {
        "name": "source",
        "qemu": capabilities.qemu_path,
        "machine_type": capabilities.machine_type,
        "accelerator": capabilities.accelerator,
        "vcpus": 1,
        "memory_bytes": _GUEST["memory_bytes"],
        "kernel": end.kernel,
        "append": (
            f"nonce={_NONCE:08x} ws={_GUEST['working_set_bytes']} rate={1 << 20} pattern=random "
            "fill=zero vcpus=1 seed=1 beat_us=500"
        ),
        "beats_socket": beats_socket,
    }
