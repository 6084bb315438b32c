"""Claim: a run of 100,000 trials is analysed in bounded memory, and answered within seconds."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.claim import Claim, NotMeasured, Tell
from benchmarks.rows import Limit, Row
from labctl.campaign import Campaign, make_plan
from labctl.results import Outcome, RunStore, TrialRecord
from labctl.results.figures import FIGURES, MORE_FIGURES
from labctl.results.schema import Scalar

TRIALS = 100_000
RATES = 125
MEMORY_LIMIT_MIB = 1024
ANSWER_LIMIT_S = 10
_TIMEOUT_S = 1800.0


def campaign(trials: int) -> Campaign:
    """Four algorithms by two link rates by so many write rates, and as many repetitions as make the trials."""
    rates = min(RATES, max(1, trials // 48))
    cells = 4 * 2 * rates
    return Campaign.model_validate(
        {
            "name": "scale",
            "guest": {"memory": "256MiB", "working_set": "64MiB"},
            "matrix": {
                "algorithm": ["stop_and_copy", "precopy", "postcopy", "hybrid"],
                "bandwidth": ["1Gbit/s", "10Gbit/s"],
                "write_rate": [f"{4 * (place + 1)}MiB/s" for place in range(rates)],
            },
            "repetitions": max(1, trials // cells),
            "warmups": 0,
        }
    )


def write(out: Path, trials: int, tell: Tell) -> Path:
    """A run of so many trials through labctl's own writer, drawn and not measured; its folder."""
    asked = campaign(trials)
    plan = make_plan(asked)
    cells = {cell.name: (cell, cell.model_dump(mode="json")) for cell in plan.cells}
    dice = np.random.default_rng(2015)
    names = [figure.column for figure in (*FIGURES, *MORE_FIGURES)]
    with RunStore.create(out, asked, plan, {}, now=datetime(2026, 1, 1, tzinfo=UTC)) as store:
        for place, planned in enumerate(plan.trials):
            cell, spec = cells[planned.cell]
            noise = np.exp(dice.normal(0, 0.05, len(names)))
            figures: dict[str, Scalar] = {
                column.name: True if column.kind == "bool" else int(1000 * by) if column.kind == "int" else 100 * float(by)
                for column, by in zip(names, noise, strict=True)
            }  # fmt: skip
            figures |= {"memory_bytes": cell.guest.memory_bytes, "read_rate_asked_bytes_per_s": 0.0}
            done = (
                cell.algorithm.kind != "precopy" or cell.guest.write_rate_bytes_per_s < 300 * 2**20
            )
            store.write_trial(
                TrialRecord(
                    number=planned.number, name=planned.name, cell=planned.cell, block=planned.block,
                    direction=planned.direction, pair="a-b", campaign=asked.name, run=store.name, spec=spec,
                    outcome=Outcome.COMPLETED if done else Outcome.NOT_CONVERGED, figures=figures,
                )
            )  # fmt: skip
            if place % 1000 == 0:
                tell("writing", 0.6 * place / len(plan.trials))
    return store.path


def measure(tell: Tell) -> Iterator[Row]:
    """Written once; then each verb in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="labctl-scale-") as folder:
        started = time.monotonic()
        run = write(Path(folder), TRIALS, tell)
        took_s = time.monotonic() - started
        yield Row(
            "write",
            f"{TRIALS} trials: written, each by itself to the disk",
            took_s / TRIALS * 1e3,
            "ms each",
            TRIALS,
        )
        verbs = (
            ("frame", "its frame made from the trials, once", ["results", str(run), "--format", "parquet", "--output", "/dev/null"], None),
            ("results", "labctl results, the frame there", ["results", str(run)], Limit(most=ANSWER_LIMIT_S)),
            ("compare", "labctl compare, two algorithms", ["compare", str(run), "--between", "algorithm=postcopy,hybrid", "--metric", "total_time"], Limit(most=4 * ANSWER_LIMIT_S)),
            ("effects", "labctl effects", ["effects", str(run)], Limit(most=4 * ANSWER_LIMIT_S)),
            ("report", "labctl report", ["report", str(run)], None),
        )  # fmt: skip
        for place, (name, what, words, limit) in enumerate(verbs):
            tell(name, 0.6 + 0.4 * place / len(verbs))
            yield from _verb(name, what, words, limit)


def _verb(name: str, what: str, words: list[str], limit: Limit | None) -> Iterator[Row]:
    """How long a verb takes, and the most memory that it held."""
    code = (
        "import resource, sys\nfrom labctl.cli import main\ntry:\n    main()\nfinally:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )  # fmt: skip
    took_s = time.monotonic() - started
    if done.returncode:
        raise NotMeasured(f"labctl {' '.join(words)}: {done.stderr[-300:]}")
    peak_mib = int(done.stderr.strip().splitlines()[-1]) / 1024
    about = f"{TRIALS} trials: {what}"
    yield Row(f"{name}-time", f"{about}: time", took_s, "s", 1, limit=limit)
    yield Row(
        f"{name}-memory",
        f"{about}: peak memory",
        peak_mib,
        "MiB",
        1,
        limit=Limit(most=MEMORY_LIMIT_MIB),
    )


CLAIM = Claim(
    "scale",
    f"""A run of {TRIALS} trials in 1,000 cells is written through labctl's own writer (drawn, not measured; no tables of beats and samples)
    and looked at by each verb, in a process of its own. The frame is made from the trials once, and read after that.""",
    estimate_s=240,
    measure=measure,
)
