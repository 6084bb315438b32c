"""After the migration: the machine settles, who beats is seen, its memory is checked."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from labctl.campaign.cells import Cell
from labctl.campaign.models import TimingSpec
from labctl.errors import NodeError
from labctl.migration import waits
from labctl.migration.bench import Bench
from labctl.migration.judge import SPLIT_STATUSES, Seen
from labctl.migration.load import Accounts
from labctl.migration.raw import RawTrial
from labctl.node.beats import SIDES

_ALIVE_BEATS: Final = 20
"""so many beats after the end show that a side runs"""
_EXPECTED_ON: Final = {"completed": "destination", "cancelled": "source", "failed": "source"}
"""where the machine should run after a migration that ended so; after any other end nobody knows"""


class Settling:
    """What is seen of one trial's machine once its migration is over."""

    def __init__(
        self, bench: Bench, raw: RawTrial, cell: Cell, timing: TimingSpec, accounts: Accounts
    ) -> None:
        self._bench = bench
        self._raw = raw
        self._cell = cell
        self._timing = timing
        self._accounts = accounts

    def see(self, result: dict[str, Any], enter: Callable[[str], None]) -> Seen:
        """Settle, see who beats, check the memory; `enter` is told each state. `result`: of the schedule."""
        expected = _EXPECTED_ON.get(result["status"])
        error: str | None = None
        if expected is not None:
            try:
                wait = f"the guest's beats on the {expected}"
                self._bench.beat(expected, wait, waits.RESUME_S, beats=1)
            except NodeError as missing:
                error = missing.fault
        enter("settle")
        alive = self._who_beats()
        with suppress(NodeError):
            self._accounts.keep("during", self._bench.observed().get("load"))
        checked, identical = False, False
        if expected == "destination" and alive["destination"]:
            enter("check")
            self._bench.stop_sampling()
            checked, identical, said = self._check()
            error = error or said
        for side in SIDES:
            with suppress(NodeError):  # a QEMU that has ended says nothing more
                self._raw.final[side] = {
                    "migrate": self._bench.qmp(side, "query-migrate"),
                    "status": self._bench.qmp(side, "query-status"),
                }
        return Seen(
            status=result["status"],
            fired=frozenset(result["fired"]),
            source_beats=alive["source"],
            destination_beats=alive["destination"],
            memory_checked=checked,
            memory_identical=identical,
            error=error or self._qemu_error() or self._last_words(),
            split=bool(self._statuses(result) & SPLIT_STATUSES),
            ended=frozenset(self._bench.ended),
            link_down=not self._bench.link_is_up(),
        )

    def _who_beats(self) -> dict[str, bool]:
        """Who beats, watched while the machine settles: where it runs it must do so to the end; one beat of the other
        side in all that time is a second machine.
        """
        before = self._bench.beats_now()
        self._bench.watch(self._timing.settle_s)
        settled = self._bench.beats_now()
        runs = "destination" if settled["destination"] else "source"
        other = "source" if runs == "destination" else "destination"
        with suppress(NodeError):
            self._bench.beat(runs, "beats", waits.ALIVE_S, beats=_ALIVE_BEATS)
        after = self._bench.beats_now()
        return {runs: after[runs] > settled[runs], other: after[other] > before[other]}

    def _check(self) -> tuple[bool, bool, str | None]:
        """Every page against what it must hold: (checked, identical, what was wrong)."""
        wait_s = waits.check_s(self._cell.guest.memory_bytes)
        try:
            self._bench.ends["destination"].node.call("machine.guest", command="K")
            state = self._bench.beat(
                "destination", "the check of the guest's memory", wait_s, reports=1
            )
        except NodeError as missing:
            return False, False, missing.fault
        report = state["reports"][-1]
        self._raw.guest["check"] = report
        wrong = []
        if report["pages_bad"]:
            wrong.append(
                f"{report['pages_bad']} pages differ, the first at {report['first_bad_address']:#x}"
            )
        if report["work_regressed"]:
            wrong.append("a vCPU's work went backwards")
        if report["seq_regressed"]:
            wrong.append("the beats' sequence went backwards")
        return True, not wrong, "; ".join(wrong) or None

    def _statuses(self, result: dict[str, Any]) -> set[str]:
        """What each end said last of the migration."""
        said = {final["migrate"].get("status", "none") for final in self._raw.final.values()}
        return said | {str(result["status"])}

    def _last_words(self) -> str | None:
        """Of a QEMU that has ended though the other one says that all went well."""
        ended = self._bench.ended
        return "; ".join(f"{side}: {words}" for side, words in sorted(ended.items())) or None

    def _qemu_error(self) -> str | None:
        for side in SIDES:
            said = self._raw.final.get(side, {}).get("migrate", {}).get("error-desc")
            if said:
                return f"{side}: {said}"
        return None
