"""`python -m benchmarks [NAME...]`: measure claims, write the table, exit 1 when a limit is not kept."""

import argparse
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import document, machine
from benchmarks.claim import Claim, NotMeasured
from benchmarks.claims import CLAIMS
from benchmarks.progress import Progress
from benchmarks.rows import Measured, Row
from labctl.errors import LabctlError, LabHeld

DOCS = Path(__file__).parents[1] / "docs"
HELD = 3
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every limit is kept; 1: one is not, or a claim could not be measured; 2: the lab cannot be opened, or --out not
    be written to; 3: another run holds it; 130: Ctrl-C.
    """
    asked = _parse(arguments)
    chosen = [claim for claim in CLAIMS if not asked.names or claim.name in asked.names]
    if asked.list:
        for claim in CLAIMS:
            print(
                f"{claim.name:12} about {claim.estimate_s:4.0f} s  {' '.join(claim.about.split())}"
            )
        return 0
    try:
        asked.out.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        print(f"benchmarks: --out {asked.out}: {fault.strerror}", file=sys.stderr)
        return 2
    if asked.page:
        write([], asked.out)
        return 0
    # A run that is ended from outside leaves by the same way as by Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        facts = machine.facts()
    except LabctlError as fault:
        print(f"benchmarks: {fault}", file=sys.stderr)
        return 2
    progress = Progress(chosen)
    ended: list[Measured] = []
    try:
        for claim in chosen:
            ended.append(measure(claim, progress, facts))
            write(ended, asked.out)
    except LabHeld as fault:
        print(f"\nbenchmarks: {fault}", file=sys.stderr)
        return HELD
    except KeyboardInterrupt:
        print("\nbenchmarks: stopped; what was measured until now is kept", file=sys.stderr)
        return INTERRUPTED
    print(f"benchmarks: {asked.out / 'benchmarks.md'}", file=sys.stderr)
    return 0 if all(measured.passed for measured in ended) else 1


def measure(claim: Claim, progress: Progress, facts: Mapping[str, Any]) -> Measured:
    """Measure a claim. What keeps it from being measured is part of what is told; KeyboardInterrupt and LabHeld pass."""
    progress.begin(claim)
    watch, started = machine.LoadWatch(), time.monotonic()
    rows: tuple[Row, ...] = ()
    error = None
    try:
        rows = tuple(claim.measure(progress.tell))
    except LabHeld:
        raise  # says nothing of the claim: what was measured before stays
    except (NotMeasured, LabctlError) as fault:
        error = str(fault)
    measured = Measured(
        claim.name,
        claim.command,
        f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        round(time.monotonic() - started, 1),
        facts,
        watch.said(),
        rows,
        error,
    )
    failed = [row.name for row in rows if row.passed is False]
    said = error or (f"failed: {', '.join(failed)}" if failed else "kept")
    progress.end(f"{said} ({measured.seconds:.0f} s)")
    return measured


def write(ended: Sequence[Measured], out: Path) -> None:
    """Put what was measured into the page and the JSON beside what they hold."""
    stored = out / "benchmarks.json"
    whole = document.merged(document.load(stored), ended, [claim.name for claim in CLAIMS])
    stored.write_text(document.to_json(whole))
    (out / "benchmarks.md").write_text(document.to_markdown(whole, CLAIMS))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(c.name for c in CLAIMS)}; none: all",
    )
    parser.add_argument("--list", action="store_true", help="say what each is, and measure nothing")
    parser.add_argument(
        "--page", action="store_true", help="write the page anew from benchmarks.json alone"
    )
    parser.add_argument("--out", type=Path, default=DOCS, help="where the page is (default: docs/)")
    asked = parser.parse_args(arguments)
    strangers = set(asked.names) - {claim.name for claim in CLAIMS}
    if strangers:
        parser.error(f"no such claim: {', '.join(sorted(strangers))}")
    return asked


if __name__ == "__main__":
    sys.exit(main())
