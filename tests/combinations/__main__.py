"""`python -m tests.combinations [VERSION...]`: try them all, keep what was found, write the page. Root; 4 minutes a version.

What was found before and is asked for again is tried again; `--minutes N` ends early, and goes on where it ended next time.
`--rdma LAB` tries those over RDMA instead, on a lab that has it, whose hosts have the QEMUs at the same paths as this machine.
"""

import argparse
import threading
import time

from labctl.campaign import expand, first_refusal
from labctl.lab import Pair, Questions, open_lab
from labctl.migration import TrialRun
from tests.combinations.cases import (
    FOUND,
    FOUND_OVER_RDMA,
    Found,
    campaign,
    combinations,
    combinations_over_rdma,
    load,
    save,
)
from tests.combinations.page import PAGE, page
from tests.qemus import VERSIONS, find_qemu

TRIES = 3
"""Trials of a combination that may break only now and then: those that lose writes, and a load that was not reached."""


def attempt(
    pair: Pair, version: str, path: str, kind: str, options: tuple[str, ...], *, rdma: bool
) -> Found:
    """One combination, whatever a rule says of it."""
    asked = campaign(kind, options, path, rdma=rdma)
    (cell,) = expand(asked)
    refusal = first_refusal(cell, *pair.capabilities())
    rule = refusal.rule if refusal else None
    trials = 0
    while True:
        raw = TrialRun(cell, asked.timing, pair, "forward", stop=threading.Event()).run()
        trials += 1
        again = raw.outcome == "invalid_load" or (
            raw.outcome == "completed" and rule == "postcopy-loses-writes"
        )
        if trials == TRIES or not again:
            reason = raw.reason.splitlines()[0][:300] if raw.reason else None
            return Found(version, kind, options, rule, raw.outcome, reason, trials)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.combinations", description=__doc__)
    parser.add_argument("versions", nargs="*", default=VERSIONS)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--missing", action="store_true", help="only what was never tried")
    parser.add_argument("--rdma", metavar="LAB", help="over RDMA, on this lab")
    args = parser.parse_args()
    rdma = args.rdma is not None
    kept = FOUND_OVER_RDMA if rdma else FOUND
    deadline = time.monotonic() + 60 * args.minutes
    found = {(one.qemu, one.kind, one.options): one for one in load(kept)}
    todo = list(combinations_over_rdma() if rdma else combinations())
    for version in args.versions:
        path = find_qemu(version)
        if path is None:
            print(f"no QEMU {version} here")
            continue
        cells = [expand(campaign(kind, options, path, rdma=rdma))[0] for kind, options in todo]
        questions = Questions.about(cells)
        with open_lab(args.rdma or "local", "combinations", share=rdma, questions=questions) as lab:
            for kind, options in todo:
                if time.monotonic() > deadline:
                    break
                if args.missing and (version, kind, options) in found:
                    continue
                (name,) = lab.pairs
                pair = lab.reopen(name) if lab.pairs[name].lost else lab.pairs[name]
                one = attempt(pair, version, path, kind, options, rdma=rdma)
                found[version, kind, options] = one
                print(version, kind, *options, one.outcome, one.rule or "", one.reason or "", flush=True)  # fmt: skip
                save(list(found.values()), kept)
    PAGE.write_text(page(load(), load(FOUND_OVER_RDMA)))


if __name__ == "__main__":
    main()
