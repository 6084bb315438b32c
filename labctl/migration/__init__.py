"""Migrations: an algorithm becomes a schedule, and a trial runs it on a pair."""

from labctl.migration.algorithms import ALGORITHMS, compile_schedule
from labctl.migration.bench import Interrupted
from labctl.migration.judge import Judgement, Seen, judge
from labctl.migration.raw import RawTrial
from labctl.migration.schedule import Rule, Schedule
from labctl.migration.transports import TRANSPORTS
from labctl.migration.trial import TrialRun

__all__ = [
    "ALGORITHMS",
    "TRANSPORTS",
    "Interrupted",
    "Judgement",
    "RawTrial",
    "Rule",
    "Schedule",
    "Seen",
    "TrialRun",
    "compile_schedule",
    "judge",
]
