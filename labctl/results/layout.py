"""Names inside a results directory, and how a run is found by what the user calls it."""

import difflib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from labctl.errors import RunNotFound

TREE = """\
runs/latest -> quickstart-20261122T134455Z
runs/<campaign>-<utc>/
    campaign.yaml  *.csv  plan.json  environment.json  journal.jsonl
    trials/<nnnn>-<cell>/{trial.json, samples.parquet, beats.parquet, events.jsonl, *.log}
    trials/<nnnn>-<cell>.attempt<k>/    an attempt that was interrupted
    results.parquet  report.html        derived: deleting them loses nothing
    live.json                           what runs now, for those who watch; gone with the run
"""

LATEST = "latest"
CAMPAIGN, PLAN, ENVIRONMENT = "campaign.yaml", "plan.json", "environment.json"
JOURNAL, TRIALS = "journal.jsonl", "trials"
RECORD, BEATS, SAMPLES, EVENTS = "trial.json", "beats.parquet", "samples.parquet", "events.jsonl"
RESULTS, REPORT, LIVE = "results.parquet", "report.html", "live.json"
UNFINISHED = ".writing-"
"""How the folder of a trial begins while it is written."""

_UTC = "%Y%m%dT%H%M%SZ"
_RUN_NAME = re.compile(r"(?P<campaign>.+)-(?P<utc>[0-9]{8}T[0-9]{6}Z)(-[0-9]+)?")
_TRIAL_NAME = re.compile(r"(?P<number>[0-9]{4,})-.*?(\.attempt(?P<attempt>[0-9]+))?")
_LONGEST_NAME = 200


def run_name(campaign: str, started: datetime) -> str:
    """`quickstart-20261122T134455Z`."""
    return f"{campaign}-{started.astimezone(UTC).strftime(_UTC)}"


def started_utc(name: str) -> datetime | None:
    """When the run of that name was started; None when its name does not say."""
    match = _RUN_NAME.fullmatch(name)
    return datetime.strptime(match["utc"], _UTC).replace(tzinfo=UTC) if match else None


def trial_folder(trial_name: str) -> str:
    """The folder of a trial. A name that is too long for a file system is cut, and told apart by a hash."""
    if len(trial_name.encode()) <= _LONGEST_NAME:
        return trial_name
    digest = hashlib.sha256(trial_name.encode()).hexdigest()[:8]
    return f"{trial_name.encode()[: _LONGEST_NAME - 9].decode(errors='ignore')}~{digest}"


@dataclass(frozen=True, order=True)
class TrialFolder:
    """A folder below `trials/`; `attempt` is None for the trial's result."""

    number: int
    attempt: int | None
    path: Path


def trial_folders(run: Path) -> Iterator[TrialFolder]:
    """Every trial and interrupted attempt of a run, in no order."""
    try:
        entries = list((run / TRIALS).iterdir())
    except FileNotFoundError:
        return
    for path in entries:
        if _TRIAL_NAME.fullmatch(path.name):
            yield folder_of(path)


def folder_of(path: Path) -> TrialFolder:
    """What a trial's folder says by its name. Raises ValueError where it is none."""
    match = _TRIAL_NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path.name} is no trial's folder")
    attempt = match["attempt"]
    return TrialFolder(int(match["number"]), int(attempt) if attempt else None, path)


def is_run(path: Path) -> bool:
    """Whether a folder is a results directory."""
    return (path / PLAN).is_file()


def runs_in(out: Path) -> list[Path]:
    """The runs below `out`, oldest first; `latest` is not counted twice."""
    if not out.is_dir():
        return []
    found = [path for path in out.iterdir() if not path.is_symlink() and is_run(path)]

    def age(path: Path) -> tuple[float, str]:
        started = started_utc(path.name)
        return (started.timestamp() if started else 0.0, path.name)

    return sorted(found, key=age)


def find_run(run: str | Path, out: Path) -> Path:
    """The folder of a run that is given as a path, as a name below `out`, or as `latest`.

    Raises:
        RunNotFound: with the nearest names.
    """
    for candidate in (out / run, Path(run)):
        if is_run(candidate):
            return candidate.resolve()
    said = str(run)
    names = [path.name for path in runs_in(out)]
    if Path(said).is_dir() and said != LATEST:
        raise RunNotFound(f"is not a run: it holds no {PLAN}", place=said, mend=_mend(names, out))
    raise RunNotFound(f"no run `{said}` in {out}/", mend=_mend(_nearest(said, names), out))


def _nearest(said: str, names: list[str]) -> list[str]:
    starting = [name for name in names if name.startswith(said)]
    return starting[-3:] or difflib.get_close_matches(said, names, n=3, cutoff=0.5) or names[-3:]


def _mend(names: list[str], out: Path) -> str:
    if not names:
        return f"there is no run in {out}/ yet: start one with `labctl run`, or say --out"
    return f"give a path, `{LATEST}`, or one of: {', '.join(names[-3:])} (`labctl ls` shows all)"
