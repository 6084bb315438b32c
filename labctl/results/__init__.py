"""The results directory: its versioned schema, written whole or not at all, and read back years later.

`load_run("latest").frame()` is the table of a run; `load_run("latest").trial(3).beats` what lies
under one row of it.
"""

from labctl.results.run import Run, RunInfo, Trial, list_runs, load_run
from labctl.results.schema import Outcome, TrialRecord, Verdict
from labctl.results.store import RunStore

__all__ = [
    "Outcome",
    "Run",
    "RunInfo",
    "RunStore",
    "Trial",
    "TrialRecord",
    "Verdict",
    "list_runs",
    "load_run",
]
