"""The command line without a lab: exit statuses, messages, shapes; nothing here starts a QEMU."""

import io
import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import labctl
from labctl import api
from labctl.campaign import Campaign, Capabilities, load_campaign, make_plan
from labctl.cli import lab
from labctl.cli.app import app
from labctl.cli.console import brief, some
from labctl.cli.logs import set_up, thread_died
from labctl.cli.root import hoisted
from labctl.cli.run import quickstart
from labctl.controller import Summary
from labctl.doctor import Finding
from labctl.errors import LabctlError, LabError, LabHeld, PlanChanged, ProvisionError
from labctl.events import (
    AttemptInterrupted,
    Event,
    Notice,
    Observer,
    Progress,
    RunStarted,
    StateEntered,
    TrialEnded,
    TrialStarted,
)
from labctl.faults import ASKS
from labctl.lab import checking
from labctl.monitoring.pace import clock
from labctl.playbook import TaskEvent
from labctl.provision import ProvisionResult
from labctl.results import load_run
from labctl.results.layout import REPORT
from labctl.virtual import Wanted
from tests import synthetic

TINY = """\
name: tiny
guest: {memory: 64MiB, working_set: 16MiB}
link: {bandwidth: 1Gbit/s}
matrix: {algorithm: [precopy, postcopy]}
limits: {total_time: 10s}
repetitions: 1
warmups: 0
"""
ESC = "\x1b"
HEAVY = ("pandas", "numpy", "plotly", "pyarrow", "ansible_runner", "jinja2", "pydantic", "rich")


class Said:
    """What one call of `labctl` said."""

    def __init__(self, *args: str) -> None:
        result = CliRunner().invoke(app, list(args), prog_name="labctl")
        self.status, self.out, self.err = result.exit_code, result.stdout, result.stderr
        assert "Traceback" not in self.out
        assert ESC not in self.out + self.err

    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in; sudo is never asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("labctl.lab.child.has_privilege", lambda: True)
    for module in ("lab", "virtual"):
        monkeypatch.setattr(f"labctl.cli.{module}.sudo_password", lambda: None)
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def tiny(here: Path) -> str:
    """A campaign file."""
    (here / "tiny.yaml").write_text(TINY)
    return "tiny.yaml"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run of the quickstart, cut short after eight trials."""
    out = tmp_path_factory.mktemp("stored")
    synthetic.fake_run(out, trials=8)
    return out


def test_version_and_help() -> None:
    assert Said("--version").out == f"labctl {labctl.__version__}\n"
    verbs = [
        "init",
        "doctor",
        "plan",
        "run",
        "watch",
        "monitor",
        "ls",
        "show",
        "results",
        "report",
        "figures",
        "compare",
        "effects",
        "export",
        "explain",
        "schema",
        "lab",
        "metrics",
        "grafana",
    ]
    for args in ([], *([verb] for verb in verbs), ["lab", "check"], ["lab", "provision"]):
        said = Said(*args, "--help")
        assert said.status == 0
        assert "Usage: " in said.out
    assert [
        line.split()[0] for line in Said("-h").out.split("Commands:\n")[1].splitlines()
    ] == verbs


def test_help_loads_nothing_slow() -> None:
    """`labctl --help` answers in less than 0.3 s: it imports none of the big packages."""
    script = (
        "import sys\nfrom labctl.cli import main\nsys.argv = ['labctl', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert "Usage: labctl" in done.stdout
    assert set(HEAVY).isdisjoint(done.stderr.split())


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("run -q f.yaml", "-q run f.yaml"),
        ("run f.yaml -v --only x -v", "-v -v run f.yaml --only x"),
        ("ls --log-file l --json", "--log-file l ls --json"),
        ("ls --log-file=l", "--log-file=l ls"),
        ("run --log-file", "--log-file run"),
        ("run -- -q", "run -- -q"),
    ],
)
def test_global_options_stand_anywhere(typed: str, read: str) -> None:
    assert hoisted(typed.split()) == read.split()


def test_usage_errors_exit_2() -> None:
    for args in (["rum"], ["run", "--quik"], ["plan"], ["lab", "check"], ["results", "-f", "xml"]):
        said = Said(*args)
        assert said.status == 2, args
        assert "Usage: labctl" in said.err
    assert "Did you mean 'run'" in Said("rum").err
    assert Said("-v", "-q", "ls").status == 2


def test_the_public_api_is_there() -> None:
    for name in labctl.__all__:
        assert getattr(labctl, name) is not None
    assert labctl.load_campaign is api.load_campaign
    assert set(labctl.__all__) <= set(dir(labctl))
    with pytest.raises(AttributeError, match="nothing"):
        labctl.nothing  # noqa: B018 - looked up on purpose


# --- faults of labctl's own ---


def _broken(out: Path) -> list[Any]:
    raise KeyError("lost")


def test_an_unexpected_error_is_short_and_its_traceback_is_for_those_who_ask(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labctl.results.list_runs", _broken)
    said = Said("ls")
    assert said.status == 1
    assert "labctl itself failed, in test_cli.py:" in said.err
    assert "KeyError: 'lost'" in said.err
    assert "Traceback" not in said.err
    assert "Traceback" in Said("-v", "ls").err
    said = Said("--log-file", "log", "ls")
    assert "Traceback" not in said.err
    assert "mend: log says where" in said.err
    assert "Traceback" in (here / "log").read_text()


def test_ctrl_c_exits_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(out: Path) -> list[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr("labctl.results.list_runs", interrupt)
    said = Said("ls")
    assert (said.status, said.err) == (130, "interrupted\n")


def test_a_log_file_that_cannot_be_written_is_said() -> None:
    said = Said("--log-file", "no/such/folder", "ls")
    assert said.status == 2
    assert said.err.startswith("error: no/such/folder: cannot be written")


# --- init ---


def test_init_writes_a_campaign_that_loads_and_overwrites_nothing(here: Path) -> None:
    said = Said("init", "mine")
    assert said.status == 0
    assert "labctl run mine.yaml" in said.out
    campaign = load_campaign(here / "mine.yaml")
    template = load_campaign(quickstart())
    assert campaign.name == "mine"
    assert campaign.model_copy(update={"name": template.name}) == template.model_copy(
        update={"source_text": campaign.source_text}
    )
    text = (here / "mine.yaml").read_text()
    assert "campaigns/quickstart.yaml" not in text
    (here / "mine.yaml").write_text("precious")
    said = Said("init", "mine.yaml")
    assert said.status == 2
    assert "mine.yaml: is there already, and is not overwritten" in said.err
    assert (here / "mine.yaml").read_text() == "precious"


def test_init_refuses_a_name_that_is_none(here: Path) -> None:
    for name in ("two words", "no/such/folder/mine"):
        said = Said("init", name)
        assert said.status == 2
        assert "mend:" in said.err
    assert list(here.iterdir()) == []


# --- plan ---


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_faults_of_a_file_name_its_line(here: Path, verb: str) -> None:
    """All of them at once, each with its mend."""
    (here / "bad.yaml").write_text(TINY.replace("1Gbit/s", "1").replace("limits:", "limit:"))
    said = Said(verb, "bad.yaml")
    assert said.status == 2
    assert said.err.startswith("error: bad.yaml:3: ")
    assert "\nbad.yaml:5: `limit` is not a key of a campaign\n  mend: " in said.err
    said = Said(verb, "none.yaml")
    assert said.status == 2
    assert "none.yaml: cannot be read" in said.err


def caps(**changes: Any) -> Capabilities:
    known: dict[str, Any] = {
        "qemu_version": "7.2.0",
        "qemu_path": "/usr/bin/qemu",
        "accelerator": "tcg",
        "machine_type": "pc",
        "migration_capabilities": ["events", "postcopy-ram"],
        "refused": {},
        "userfaultfd": False,
        "memory_available_bytes": 2**34,
        "cpus": 2,
        "rdma": False,
    }
    return Capabilities.model_validate({**known, **changes})


def test_plan_shows_every_trial_and_why_some_are_not_run(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def ask(campaign: Campaign, **options: Any) -> Any:
        asked.update(options)
        return make_plan(campaign, {"a-b": (caps(), caps())}, quick=options["quick"])

    monkeypatch.setattr(api, "plan", ask)
    said = Said("plan", tiny, "--lab", "local", "--quick")
    assert said.status == 0
    assert asked == {"lab": "local", "quick": True, "offline": False}
    assert "tiny: 2 cells, 1 trial in 1 block, seed " in said.out
    assert "1 trial unsupported: postcopy" in said.out
    assert "userfaultfd: the destination may not use userfaultfd" in said.out
    assert "labctl explain userfaultfd" in said.out
    assert "about 0:0" in said.out


def test_plan_for_a_script(tiny: str) -> None:
    said = Said("plan", "--offline", "--json", tiny)
    assert said.status == 0
    expected = make_plan(load_campaign(tiny))
    assert said.json() == json.loads(expected.to_json()) | {"estimate_s": expected.estimate_s}


def test_warm_ups_are_said() -> None:
    said = Said("plan", "--offline", str(quickstart()))
    assert "9 cells, 27 trials in 3 blocks" in said.out
    assert "1 warm-up first, left out of the results" in said.out
    numbers = [line.split()[0] for line in said.out.splitlines() if line.startswith("  ")]
    assert numbers == [str(number) for number in range(1, 29)]


def test_a_plan_over_several_pairs(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pair's warm-up, the time until the last one is done, and what would keep all of them busy."""

    def plan_of(repetitions: int, count: int) -> str:
        pairs = dict.fromkeys(
            [f"rack{number}" for number in range(count)], (caps(userfaultfd=True),) * 2
        )
        changes = {"repetitions": repetitions, "warmups": 1}

        def ask(campaign: Campaign, **_options: Any) -> Any:
            return make_plan(campaign.model_copy(update=changes), pairs)

        monkeypatch.setattr(api, "plan", ask)
        return Said("plan", tiny).out

    alone, both = plan_of(4, 1), plan_of(4, 2)
    assert "warm-up rack0 " in both
    assert "warm-up rack1 " in both
    assert "2 warm-ups first, left out of the results" in both
    assert "about 0:30 in all" in alone, "9 trials one after the other"
    assert both.splitlines()[-1] == "about 0:16 in all on 2 pairs", "5 of 10"
    assert "warm-up  " in alone
    for repetitions, count, idle in ((3, 2, "1 pair"), (3, 20, "17 pairs"), (5, 4, "3 pairs")):
        said = plan_of(repetitions, count).splitlines()[-1]
        assert said.startswith(f"{repetitions} blocks over {count} pairs, whole ones")
        assert f"the last round leaves {idle} idle, a multiple of {count} repetitions" in said


UNTIL = "repetitions: {until: {relative_interval: 5%}, max: 20}"
ADAPTIVE = TINY.replace("repetitions: 1", UNTIL)


def test_a_plan_that_may_grow_says_until_when_and_for_how_long(here: Path) -> None:
    (here / "a.yaml").write_text(ADAPTIVE)
    lines = Said("plan", "--offline", "a.yaml").out.splitlines()
    assert "a: 2 cells" not in lines
    assert lines[-3].startswith("tiny: 2 cells, 12 trials in 6 blocks, seed ")
    assert lines[-2] == (
        "6 blocks at first, up to 20, until half the 95 % interval of total time is within 5 % of its median"
    )
    each = 0.5 * make_plan(load_campaign(here / "a.yaml"), quick=True).estimate_s
    assert lines[-1] == f"about {clock(12 * each)} for these, and at most {clock(28 * each)} more"
    quick = Said("plan", "--offline", "--quick", "a.yaml").out
    assert "2 trials in 1 block" in quick
    assert "at first" not in quick
    several = ADAPTIVE.replace("5%", "2.5%, of: [total_time, blackout, work_lost]")
    (here / "a.yaml").write_text(several)
    assert "of total time and of blackout and of work lost is within 2.5 % of its median" in (
        " ".join(Said("plan", "--offline", "a.yaml").out.split())
    )


def test_a_twin_is_a_cell_of_the_plan(here: Path) -> None:
    (here / "a.yaml").write_text(TINY + "noise: {aa: true}\n")
    said = Said("plan", "--offline", "a.yaml").out
    assert "tiny: 3 cells, 3 trials in 1 block" in said
    assert " precopy,twin " in said


def test_an_unknown_lab_is_said_before_anything_is_asked(tiny: str) -> None:
    for args in (
        ["plan", tiny, "--lab", "locl"],
        ["run", tiny, "--lab", "locl"],
        ["lab", "check", "locl"],
    ):
        said = Said(*args)
        assert said.status == 2
        assert "did you mean local?" in said.err


# --- explain, doctor, lab ---


def test_explain() -> None:
    page = Said("explain", "multifd-postcopy").out
    assert page.startswith("multifd-postcopy, a rule of a plan\n")
    assert "  why:  " in page
    assert "  mend: " in page
    both = Said("explain", "userfaultfd").out
    assert "a rule of a plan" in both
    assert "a check of labctl doctor" in both
    assert "host-memory" in Said("explain").out
    said = Said("explain", "host-memroy")
    assert said.status == 2
    assert "did you mean host-memory?" in said.err


def test_doctor_says_what_is_missing_and_how_to_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from labctl import doctor

    well = [Finding(check.id, True, "is there") for check in doctor.CHECKS]
    monkeypatch.setattr(doctor, "examine", lambda: well)
    assert Said("doctor").status == 0
    assert all(item["ok"] for item in Said("doctor", "--json").json())
    ill = [Finding(well[0].id, False, "is not there", "put it there"), *well[1:]]
    monkeypatch.setattr(doctor, "examine", lambda: ill)
    said = Said("doctor")
    assert said.status == 3
    assert "is not there" in said.out
    assert "mend: put it there" in said.out
    again = Finding(well[1].id, False, "is not there either", "put it there")
    monkeypatch.setattr(doctor, "examine", lambda: [ill[0], again, *well[2:]])
    said = Said("doctor")
    assert "is not there either" in said.out
    assert said.out.count("mend: put it there (all 2 of these)") == 1
    assert said.out.count("put it there") == 1
    monkeypatch.setattr(doctor, "examine", lambda: ill)
    said = Said("doctor", "--json")
    assert said.status == 3
    first = said.json()[0]
    assert first["id"] == doctor.CHECKS[0].id
    assert first["mend"] == "put it there"
    assert set(first) == {"id", "what", "ok", "detail", "mend", "reason"}


def test_lab_check_and_clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # What dead playbooks of others, who run beside this test, have left there is not its business.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    findings = [
        checking.Finding("a: QEMU", True, "7.2"),
        checking.Finding("a: userfaultfd", False, "no postcopy", "allow it"),
    ]
    monkeypatch.setattr("labctl.lab.check_lab", lambda name: findings)
    said = Said("lab", "check", "local")
    assert said.status == 3
    assert "mend: allow it" in said.out
    assert [item["ok"] for item in Said("lab", "check", "local", "--json").json()] == [True, False]
    del findings[1]
    assert Said("lab", "check", "local").status == 0
    left = [{"run": "r", "directory": "/run/labctl/r", "alive": [{"pid": 7, "what": "qemu"}]}]
    monkeypatch.setattr("labctl.lab.clean_lab", lambda name: left)
    assert Said("lab", "clean", "local").out == "r: /run/labctl/r, qemu (pid 7)\n"
    assert Said("lab", "clean", "local", "--json").json() == left


def test_a_password_that_sudo_wants_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """On hosts it turns out only there; with nobody to ask, Ansible's fault is the answer."""
    wanted = ProvisionError(f"2 hosts failed\nh1: {ASKS}", mend="set it")

    def play(name: str, *, become_password: str | None, check: bool) -> ProvisionResult:
        if become_password != "secret":
            raise wanted
        return ProvisionResult(hosts=[name])

    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return "secret"

    monkeypatch.setattr("getpass.getpass", answer)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(ProvisionError):
        lab._Asking(partial(play, "h1", become_password=None))(check=True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    playing = lab._Asking(partial(play, "h1", become_password=None))
    assert [playing(check=check).hosts for check in (True, False)] == [["h1"], ["h1"]]
    assert asked == ["sudo's password on the lab's hosts: "]
    with pytest.raises(ProvisionError):  # one that is wrong is not asked for again
        lab._Asking(partial(play, "h1", become_password="wrong"))(check=True)


def test_a_virtual_lab_comes_up_part_by_part_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[Wanted] = []

    def bring_up(name: str, asked: Wanted, *, on_task: Any, become_password: None) -> bool:
        wanted.append(asked)
        for host, role in (
            ("localhost", "virtual_hosts"),
            ("localhost", "virtual_image"),
            ("localhost", "packages"),
            ("localhost", "virtual_hosts"),
            ("localhost", "packages"),
            ("h1", "tools"),
            ("h2", "tools"),
        ):
            if on_task:
                on_task(TaskEvent(host, "Do it", role, "ok"))
        return len(wanted) == 1

    monkeypatch.setattr("labctl.virtual.bring_up", bring_up)
    said = Said(
        "lab", "up", "virtual", "--suite", "trixie", "--memory", "2GiB", "--package", "strace"
    )
    assert said.status == 0
    assert said.err.splitlines()[:3] == [
        "virtual: its image is made",
        "virtual: its hosts boot",
        "virtual: its hosts are provisioned",
    ]
    assert said.err.splitlines()[3].startswith("virtual: up (")
    assert said.out == "labctl run campaigns/transports.yaml --lab virtual\n"
    assert wanted == [Wanted(suite="trixie", memory_mib=2048, packages=("strace",))]
    assert Said("-q", "lab", "up", "virtual").err == "virtual: runs already\n"
    assert "h1: tools: Do it: ok" in Said("-v", "lab", "up", "virtual").err

    monkeypatch.setattr("labctl.virtual.take_down", lambda name, **_: name == "virtual")
    assert Said("lab", "down", "virtual").err == "virtual: down\n"
    assert Said("lab", "down", "other").err == "other: there is none\n"


def test_provision_shows_what_it_would_change_and_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    would = [TaskEvent("here", "Install QEMU", "qemu", "changed", "qemu-system-x86")]

    def play(name: str, **options: Any) -> ProvisionResult:
        on_task = options.pop("on_task")
        calls.append(options)
        for task in would if on_task else ():
            on_task(task)
        return ProvisionResult(list(would), 1, 0, ["here"])

    monkeypatch.setattr("labctl.provision.provision", play)
    monkeypatch.setattr("labctl.provision.unprovision", play)
    said = Said("lab", "provision", "local")
    assert said.status == 2
    assert "here: qemu: Install QEMU: qemu-system-x86" in said.out
    assert "labctl lab provision local --yes" in said.err
    assert [call["check"] for call in calls] == [True]

    calls.clear()
    said = Said("lab", "provision", "local", "--yes", "--diff")
    assert (said.status, said.out) == (0, "local: 1 task changed anything\n")
    assert calls == [{"diff": True, "limit": None, "become_password": None}]
    assert "here: qemu: Install QEMU: changed" in said.err
    assert Said("-q", "lab", "provision", "local", "--yes").err == ""

    calls.clear()
    said = Said("lab", "unprovision", "local", "--check")
    assert said.status == 0
    assert [call["check"] for call in calls] == [True]

    calls.clear()
    would.clear()
    said = Said("lab", "provision", "local")
    assert (said.status, said.out) == (0, "nothing would change\n")
    assert [call["check"] for call in calls] == [True]


# --- stored runs ---


@pytest.mark.parametrize("verb", ["show", "results", "report", "run --resume"])
def test_an_unknown_run_names_the_nearest(stored: Path, verb: str) -> None:
    said = Said(*verb.split(), "quickstrat-2026", "--out", str(stored))
    assert said.status == 2
    assert "error: no run `quickstrat-2026` in " in said.err
    assert "quickstart-20260101T000000Z" in said.err


def test_where_there_is_no_run_yet(here: Path) -> None:
    said = Said("ls")
    assert (said.status, said.out) == (0, "")
    assert f"labctl run {quickstart()}" in said.err
    assert Said("ls", "--json").json() == []
    said = Said("show")
    assert said.status == 2
    assert "there is no run in runs/ yet" in said.err


def test_ls(stored: Path) -> None:
    said = Said("ls", "--out", str(stored))
    assert "quickstart-20260101T000000Z  (latest)" in said.out
    assert "8 of 28" in said.out
    (run,) = Said("ls", "--json", "--out", str(stored)).json()
    assert run["name"] == "quickstart-20260101T000000Z"
    assert (run["trials"], run["finished"], run["latest"]) == (28, 8, True)
    assert sum(run["outcomes"].values()) == 7


def test_show_a_run(stored: Path) -> None:
    said = Said("show", "--out", str(stored))
    assert said.status == 0
    assert "7.2.22" in said.out
    assert "warm-up" in said.out
    assert "20 left; to go on: labctl run --resume quickstart-20260101T000000Z --out" in said.out
    run = Said("show", "latest", "--json", "--out", str(stored)).json()
    assert (run["campaign"], run["trials"], run["finished"], run["left"]) == (
        "quickstart",
        28,
        8,
        20,
    )


def test_show_a_trial(stored: Path) -> None:
    record = load_run("latest", stored).trial(2).record
    assert Said("show", "latest", "2", "--json", "--out", str(stored)).json() == json.loads(
        record.to_json()
    )
    said = Said("show", "latest", record.name, "--out", str(stored))
    assert record.cell in said.out
    assert "pages, none differs" in said.out
    assert "blackout_ms" in said.out
    assert "first beat of the destination" not in said.out
    assert "first beat of the" in Said("-v", "show", "latest", "2", "--out", str(stored)).out
    for wrong, text in (("28", "has no result"), ("first", "neither a trial's number")):
        said = Said("show", "latest", wrong, "--out", str(stored))
        assert said.status == 2
        assert text in said.err


def test_results_in_every_format(stored: Path, here: Path) -> None:
    frame = load_run("latest", stored).frame()
    common = ("latest", "--out", str(stored))
    assert "total" in Said("results", *common).out

    rows = Said("results", *common, "--format", "json").json()
    assert [list(row) for row in rows] == [list(frame.columns)] * len(frame)
    assert [row["trial"] for row in rows] == frame["trial"].tolist()
    assert all(isinstance(row["trial"], int) for row in rows)
    for row, known in zip(rows, frame["blackout_ms"], strict=True):
        assert row["blackout_ms"] == (None if pd.isna(known) else known)

    read = pd.read_csv(io.StringIO(Said("results", *common, "--format", "csv").out))
    assert read["trial"].tolist() == frame["trial"].tolist()
    assert list(read.columns) == list(frame.columns)

    assert Said("results", *common, "-f", "parquet", "-o", "r.parquet").out == ""
    pd.testing.assert_frame_equal(pd.read_parquet(here / "r.parquet"), frame, check_dtype=False)
    for form in ("table", "csv", "json"):
        assert Said("results", *common, "-f", form, "-o", form).status == 0
        assert (here / form).stat().st_size > 100
    assert len(Said("results", *common, "-f", "json", "--warmups").json()) == len(frame) + 1
    said = Said("results", *common, "-f", "csv", "-o", "no/such/file")
    assert said.status == 2
    assert "no/such/file: cannot be written" in said.err


def test_report(stored: Path, here: Path) -> None:
    said = Said("report", "--out", str(stored), "-o", "r.html")
    assert (said.status, said.out) == (0, "r.html\n")
    assert "<html" in (here / "r.html").read_text()
    assert Said("report", "--out", str(stored)).out.strip() == str(
        load_run("latest", stored).path / REPORT
    )


# --- run ---


def test_run_with_no_file_points_at_the_quickstart() -> None:
    said = Said("run")
    assert said.status == 2
    command = said.err.strip().rpartition(": ")[2]
    assert command == f"labctl run {quickstart()}"
    assert load_campaign(command.removeprefix("labctl run ")).name == "quickstart"


def test_options_that_do_not_go_together(tiny: str, stored: Path) -> None:
    out = ("--out", str(stored))
    for args, text in (
        (["--resume", "--quick", *out], "--quick: a run keeps its plan"),
        ([tiny, "--accept-changed-plan"], "--accept-changed-plan: it goes with --resume"),
        ([tiny, "--only", "hybrid*"], "no trial that is to be run matches 'hybrid*'"),
        (["latest", *out], "labctl run --resume latest"),
    ):
        said = Said("run", *args)
        assert said.status == 2, args
        assert text in said.err


class FakeRun:
    """Stands in for `api.run`: tells its observers of a run whose results are invented."""

    def __init__(self, **changes: Any) -> None:
        self.asked: dict[str, Any] = {}
        self.summary = Summary(**{"outcomes": Counter(completed=2), **changes})
        self.trials: int | None = None
        self.spoil: Callable[[Path], None] = lambda path: None

    def __call__(
        self, campaign: Campaign, *, out: Path, observers: Iterable[Observer], **asked: Any
    ) -> api.Result:
        self.asked = asked
        path = synthetic.fake_run(out, campaign, trials=self.trials)
        self.spoil(path)
        run = load_run(path)

        def tell(event: Event) -> None:
            for observer in observers:
                observer.handle(event)

        planned = run.plan.trials
        tell(RunStarted(path, run.name, len(planned), 0, run.plan.estimate_s))
        tell(Notice("the link was measured 5 % off"))
        for trial in planned[: self.trials]:
            tell(TrialStarted(trial.number, trial.name, "a-b", 1, trial.warmup, trial.estimate_s))
            tell(AttemptInterrupted(trial.number, trial.name, 1, "a node was lost"))
            tell(TrialStarted(trial.number, trial.name, "a-b", 2, trial.warmup, trial.estimate_s))
            tell(StateEntered(trial.number, "precopy", 1))
            tell(Progress(trial.number, "active", 2**25, 2**24, 2))
            record = run.trial(trial.number).record
            tell(
                TrialEnded(
                    trial.number,
                    trial.name,
                    record.outcome.value,
                    "on_destination",
                    record.reason,
                    trial.warmup,
                    3.5,
                    dict(record.figures),
                )
            )
        return api.Result(path, self.summary)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    fake = FakeRun()
    monkeypatch.setattr(api, "run", fake)
    return fake


def test_a_run_from_start_to_end(tiny: str, here: Path, fake: FakeRun) -> None:
    """Plain lines where there is no terminal; then the table, the plot, and where it all is."""
    said = Said("run", tiny, "--quick", "--fail-fast", "--share", "--only", "p*", "--out", "o")
    assert said.status == 0
    assert fake.asked == {
        "quick": True, "fail_fast": True, "share": True, "only": "p*", "lab": None,
    }  # fmt: skip
    (path,) = [p for p in (here / "o").iterdir() if not p.is_symlink()]
    lines = said.err.splitlines()
    assert lines[0] == f"o/{path.name}: 2 trials, about 0:07"
    assert lines[1] == "note: the link was measured 5 % off"
    assert "attempt 1 was cut off: a node was lost" in lines[2]
    ended = [line for line in lines if " completed " in line]
    assert len(ended) == 2
    assert "blackout" in ended[0]
    assert "Blackout, ms" in said.out
    last = said.out.splitlines()[-3:]
    assert last == [
        "2 trials: 2 completed",
        f"report:  o/{path.name}/report.html",
        f"results: o/{path.name}",
    ]
    assert (path / REPORT).exists()


def test_a_quiet_run_says_one_line(tiny: str, here: Path, fake: FakeRun) -> None:
    said = Said("-q", "run", tiny)
    assert said.status == 0
    assert said.err == ""
    run = load_run("latest")
    assert said.out == f"2 trials: 2 completed; runs/{run.name}\n"
    assert (run.path / REPORT).exists()


def test_what_happens_is_logged(tiny: str, here: Path, fake: FakeRun) -> None:
    Said("--log-file", "log", "run", tiny)
    text = (here / "log").read_text()
    assert "RunStarted" in text
    assert "StateEntered" in text
    said = Said("-v", "run", tiny, "--out", "other")
    assert "TrialStarted" in said.err
    assert "StateEntered" not in said.err


@pytest.mark.parametrize(
    ("outcome", "status", "sentence"),
    [
        ("failed", 1, "trial 1 (precopy) failed: it broke (labctl show "),
        ("invalid_load", 1, "1 trial of precopy without a valid load: it broke"),
        ("not_converged", 0, "2 trials: "),
    ],
)
def test_a_run_with_trials_that_did_not_complete(
    tiny: str, fake: FakeRun, outcome: str, status: int, sentence: str
) -> None:
    def spoil(path: Path) -> None:
        (file,) = path.glob("trials/*-precopy/trial.json")
        record = json.loads(file.read_text()) | {"outcome": outcome, "reason": "it broke"}
        file.write_text(json.dumps(record))

    fake.spoil = spoil
    said = Said("run", tiny)
    assert said.status == status
    number = next(t.number for t in load_run("latest").plan.trials if t.cell == "precopy")
    assert sentence.replace("trial 1 ", f"trial {number} ") in said.out
    assert outcome.replace("_", " ") in said.err


def test_an_interrupted_run_says_how_to_go_on(tiny: str, fake: FakeRun) -> None:
    fake.trials = 1
    fake.summary = Summary(interrupted=True, left=1)
    said = Said("run", tiny, "--out", "o")
    assert said.status == 130
    name = load_run("latest", "o").name
    assert said.err.endswith(
        "interrupted: 1 trial: 1 completed\n"
        f"  1 trial left; to go on: labctl run --resume {name} --out o\n"
    )
    assert said.out == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_before_its_first_trial(
    tiny: str, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(api, "run", lambda *args, **options: signal.raise_signal(number))
    before = signal.getsignal(signal.SIGTERM)
    said = Said("run", tiny)
    assert said.status == 130
    assert said.err == "interrupted before the first trial; nothing was stored\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_that_lost_its_lab(tiny: str, fake: FakeRun) -> None:
    fake.trials = 1
    fake.summary = Summary(fault=LabHeld("the lab is gone", mend="bring it back"), left=1)
    said = Said("run", tiny)
    assert said.status == 3
    assert "error: the lab is gone\n  mend: bring it back\n" in said.err
    assert "1 trial left; to go on: labctl run --resume tiny-" in said.out


def test_a_run_that_ended_without_one_of_its_pairs(tiny: str, fake: FakeRun) -> None:
    fault = LabError("no route to it", place="host c", mend="switch it on")
    fake.summary = Summary(outcomes=Counter(completed=2), aside={"c-d": fault})
    said = Said("run", tiny)
    assert said.status == 0
    assert "pair c-d was set aside: host c: no route to it … mend: switch it on" in said.out


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (LabHeld("held by run x", place="here", mend="wait"), 3),
        (PlanChanged("it has changed", place="here", mend="wait"), 2),
        (LabctlError("it broke", place="here", mend="wait"), 1),
    ],
)
def test_an_error_of_a_run_gives_its_exit_status(
    tiny: str, monkeypatch: pytest.MonkeyPatch, error: LabctlError, status: int
) -> None:
    def refuse(*args: Any, **options: Any) -> api.Result:
        raise error

    monkeypatch.setattr(api, "run", refuse)
    said = Said("run", tiny)
    assert (said.status, said.err) == (status, f"error: here: {error.fault}\n  mend: wait\n")


def test_a_dry_run_runs_nothing(tiny: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "plan", lambda campaign, **options: make_plan(campaign))
    said = Said("run", tiny, "--dry-run", "--only", "post*")
    assert said.status == 0
    assert "tiny: 2 cells, 1 trial in 1 block" in said.out
    assert "nothing was run" in said.err
    assert not (here / "runs").exists()


def test_resume_goes_on_with_what_is_left(
    here: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def go_on(directory: Path, *, observers: Any, **options: Any) -> api.Result:
        asked.update(options, directory=directory)
        return api.Result(directory, Summary())

    monkeypatch.setattr(api, "resume", go_on)
    path = synthetic.fake_run(here / "runs", trials=2)
    said = Said("run", "--resume", "--dry-run")
    assert "26 trials in 3 blocks" in said.out
    assert Said("run", "--resume", path.name, "--accept-changed-plan").status == 0
    assert asked["directory"] == path.resolve()
    assert asked["accept_changed_plan"]

    asked.clear()
    synthetic.fake_run(here / "all", load_campaign(tiny))
    said = Said("run", "--resume", "--out", "all")
    assert said.status == 0
    assert said.err.startswith("every trial has its result: nothing was run")
    assert asked == {}


def test_a_run_that_needs_more_goes_on_though_no_trial_is_left(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def go_on(directory: Path, *, observers: Any, **options: Any) -> api.Result:
        asked.append(directory)
        return api.Result(directory, Summary())

    monkeypatch.setattr(api, "resume", go_on)
    for share, cells in (("0.1%", 2), ("50%", 0)):
        (here / "a.yaml").write_text(ADAPTIVE.replace("5%", share))
        path = synthetic.fake_run(here / share, load_campaign(here / "a.yaml"))
        out = ("--out", share)
        said = Said("run", "--resume", "--dry-run", *out)
        assert ("cells need more: 2 trials would be added" in said.err) == bool(cells)
        said = Said("run", "--resume", *out)
        assert said.status == 0
        assert asked == ([path.resolve()] if cells else [])
        assert ("every trial has its result: nothing was run" in said.err) == (not cells)
        settled = f"{2 - cells} of 2 cells settled at {share.replace('%', ' %')}"
        assert f"adaptive: 12 trials instead of 40, {settled}" in " ".join(said.out.split())
        only = Said("run", "--resume", "--only", "pre*", *out)
        assert only.status == 2
        asked.clear()


def test_what_a_twin_shows_is_said_and_is_no_row_of_the_table(here: Path, fake: FakeRun) -> None:
    for repetitions, apart in (
        (1, "too few completed trials"),
        (6, " % in total time"),
    ):
        text = TINY.replace("repetitions: 1", f"repetitions: {repetitions}")
        (here / "a.yaml").write_text(text + "noise: {aa: true}\n")
        said = Said("run", "a.yaml", "--out", str(repetitions))
        assert said.status == 0
        table, _, rest = said.out.partition("Blackout, ms")
        rows = [line.split()[0] for line in table.splitlines() if line.startswith(("pre", "post"))]
        assert rows == ["precopy", "postcopy"]
        assert f"{3 * repetitions} trials" in rest
        assert "noise: precopy ran against a twin" in rest
        assert apart in " ".join(rest.split())


# --- small things ---


def test_texts_are_kept_short() -> None:
    assert brief("one") == "one"
    assert brief("first\n  middle\n\n  last\n") == "first … last"
    assert some(["a", "b", "a"]) == "a, b"
    assert some("abcd") == "a, b, c, d"
    assert some("abcde") == "a, b, c, and 2 more"


def test_a_thread_that_dies_says_so_in_a_line(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    for verbosity, traceback in ((0, False), (1, True)):
        undo = set_up(verbosity, here / "log")
        try:
            raise KeyError("lost")
        except KeyError as error:
            parts = (KeyError, error, error.__traceback__, threading.Thread(name="pair-a"))
            thread_died(threading.ExceptHookArgs(parts))
        finally:
            undo()
        said = capsys.readouterr().err
        assert said.startswith("labctl itself failed, in thread pair-a: KeyError: 'lost'\n")
        assert ("Traceback" in said) == traceback
    assert (here / "log").read_text().count("Traceback") == 2
