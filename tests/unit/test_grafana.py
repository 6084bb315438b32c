"""`labctl grafana`, against a server that answers as Grafana documents it: what it keeps there, and how it fails."""

import json
import logging
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labctl.cli.app import app
from labctl.errors import InputError
from labctl.monitoring import grafana as adapter
from labctl.monitoring.addresses import checked
from labctl.monitoring.grafana import DATASOURCE, Annotation, dashboards
from tests.grafana import TOKEN, Answer, Grafana, serving
from tests.unit.test_stored_versions import EXAMPLES

PROMETHEUS = "http://prometheus.example:9090"
VARIABLE = "LABCTL_GRAFANA_TOKEN"
PHASES = (
    *("prepare", "boot", "fill", "baseline", "setup"),
    *("precopy", "switching", "postcopy", "settle", "check"),
)


@pytest.fixture(autouse=True)
def secretive(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A token by the environment, straight to the server, and never in a log."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "LABCTL_GRAFANA_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv(f"{VARIABLE}_FILE", raising=False)
    monkeypatch.setenv(VARIABLE, TOKEN)
    caplog.set_level(logging.DEBUG)
    yield
    assert TOKEN not in caplog.text


@pytest.fixture
def server() -> Iterator[Grafana]:
    with serving(Grafana()) as made:
        yield made


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A stored run, to be changed: a trial that did not converge, one that completed, one that was not tried."""
    return Path(shutil.copytree(EXAMPLES[-1], tmp_path / EXAMPLES[-1].name))


class Said:
    """What `labctl grafana ...` said."""

    def __init__(self, verb: str, *args: str) -> None:
        result = CliRunner().invoke(app, ["grafana", verb, *args], prog_name="labctl")
        self.status, self.out, self.err = result.exit_code, result.stdout, result.stderr
        assert TOKEN not in result.output
        assert "Traceback" not in result.output

    def lines(self) -> list[str]:
        assert self.status == 0, self.err
        return self.out.splitlines()


def sync(server: Grafana) -> Said:
    return Said("sync", "--url", server.url, "--prometheus", PROMETHEUS)


def annotate(server: Grafana, run: Path) -> list[str]:
    return Said("annotate", str(run), "--url", server.url).lines()


# What it keeps


def test_sync_makes_folder_dashboards_and_data_source(server: Grafana) -> None:
    assert sync(server).lines() == [
        f"{server.url}/d/labctl-{name}/labctl-{name}" for name in dashboards()
    ]
    assert server.folders["labctl"]["title"] == "labctl"
    assert {kept["folderUid"] for kept in server.dashboards.values()} == {"labctl"}
    kept = {uid: it["dashboard"] for uid, it in server.dashboards.items()}
    assert kept == {board["uid"]: board for board in dashboards().values()}
    source = server.datasources[DATASOURCE]
    assert (source["type"], source["url"], source["access"]) == ("prometheus", PROMETHEUS, "proxy")
    assert source["jsonData"] == {"httpMethod": "POST", "timeInterval": "1s"}


def test_sync_again_brings_up_to_date_and_keeps_what_others_have_set(server: Grafana) -> None:
    sync(server)
    source: dict[str, Any] = server.datasources[DATASOURCE]
    source |= {"isDefault": True, "basicAuth": True, "basicAuthUser": "reader", "url": "http://old"}
    source["jsonData"] |= {"httpMethod": "GET", "prometheusVersion": "2.42.0"}
    del source["jsonData"]["timeInterval"]
    server.dashboards["labctl-hosts"]["dashboard"] = {"uid": "labctl-hosts", "title": "edited"}

    sync(server)
    settings = {"httpMethod": "GET", "prometheusVersion": "2.42.0", "timeInterval": "1s"}
    changed: dict[str, Any] = {"url": PROMETHEUS, "version": 2, "jsonData": settings}
    assert server.datasources == {DATASOURCE: source | changed}
    assert {kept["version"] for kept in server.dashboards.values()} == {2}
    assert server.dashboards["labctl-hosts"]["dashboard"] == dashboards()["hosts"]
    assert [asked for asked in server.asked if asked[0] == "POST"].count(("POST", "/folders")) == 1


def test_what_says_which_grafana_a_dashboard_is_from_stays_here(server: Grafana) -> None:
    with adapter.Grafana(server.url) as there:
        there.put_folder()
        exported = {"id": 12, "version": 9, "uid": "u", "title": "t", "panels": []}
        there.put_dashboard(exported)
    assert server.dashboards["u"]["dashboard"] == {"uid": "u", "title": "t", "panels": []}


def test_a_data_source_that_a_file_provisions_is_left_to_it(server: Grafana) -> None:
    kept = {"uid": DATASOURCE, "name": "Prometheus", "url": "http://local", "readOnly": True}
    server.datasources[DATASOURCE] = dict(kept)
    assert sync(server).status == 0
    assert server.datasources == {DATASOURCE: kept}


def test_a_token_that_is_told_403_of_what_does_not_exist_makes_it(server: Grafana) -> None:
    server.instead["GET", "/folders/"] = 403, {"message": "You'll need additional permissions"}
    assert sync(server).status == 0
    assert set(server.folders) == {"labctl"}


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_grafana_that_is_served_under_a_path(slash: str) -> None:
    with serving(Grafana(path="/monitoring/grafana")) as server:
        said = Said("sync", "--url", server.url + slash)
        assert said.lines()[0] == f"{server.url}/d/labctl-campaign/labctl-campaign"
        assert len(server.dashboards) == len(dashboards())


# Marks


def test_annotate_marks_trials_phases_and_switch_over(server: Grafana, run: Path) -> None:
    assert annotate(server, run) == ["20 new marks"]
    trial = [mark for mark in server.annotations if "trial 2" in mark["tags"]]
    assert {tuple(mark["tags"][:3]) for mark in trial} == {("labctl", run.name, "trial 2")}
    what = [(mark["tags"][3], mark["text"]) for mark in trial]
    assert what == [
        ("trial", "0002-hybrid,write_rate=400MiBps: completed"),
        *(("phase", phase) for phase in PHASES),
        ("switch-over", "switch-over: the guest runs nowhere"),
    ]
    whole, away = trial[0], trial[-1]
    assert [mark["time"] for mark in trial[1:-1]] == [
        whole["time"], *(mark["timeEnd"] for mark in trial[1:-2]),
    ]  # fmt: skip
    assert whole["timeEnd"] == trial[-2]["timeEnd"]
    assert away["timeEnd"] - away["time"] == pytest.approx(55.8, abs=1)  # its blackout_ms
    assert whole["time"] < away["time"] < away["timeEnd"] < whole["timeEnd"]


def test_annotate_again_puts_no_second_marks_and_what_is_missing(
    server: Grafana, run: Path
) -> None:
    annotate(server, run)
    assert annotate(server, run) == ["0 new marks"]
    before = [(mark["time"], mark["tags"]) for mark in server.annotations]
    del server.annotations[4:9]  # as if it had been cut off
    assert annotate(server, run) == ["5 new marks"]
    assert sorted((mark["time"], mark["tags"]) for mark in server.annotations) == sorted(before)


def test_each_run_has_its_own(server: Grafana, run: Path) -> None:
    other = shutil.copytree(run, run.with_name("a+b & c#1-20261122T181232Z"))
    for path in other.glob("trials/*/trial.json"):
        path.write_text(path.read_text().replace(run.name, other.name))
    assert annotate(server, run) == annotate(server, Path(other)) == ["20 new marks"]
    assert annotate(server, Path(other)) == ["0 new marks"]


def test_annotate_marks_faults(server: Grafana, run: Path) -> None:
    path = next(run.glob("trials/0002*/trial.json"))
    record = json.loads(path.read_text())
    why = "QEMU said:\n" + "x" * 300
    path.write_text(json.dumps(record | {"outcome": "failed", "reason": why}))
    lines: list[dict[str, Any]] = [
        {"event": "AttemptInterrupted", "number": 2, "name": "n", "attempt": 1, "reason": "node b is gone"},
        {"event": "PairLost", "pair": "a-b"},
        {"event": "PairSetAside", "pair": "a-b", "hosts": ["a", "b"], "fault": "b: no ssh", "mend": None},
        {"event": "of another labctl"},
    ]  # fmt: skip
    with (run / "journal.jsonl").open("a") as journal:
        for line in lines:
            journal.write(json.dumps({"utc": "2026-11-22T18:12:41.500Z", **line}) + "\n")

    assert annotate(server, run) == ["24 new marks"]
    faults = {mark["text"]: mark["tags"] for mark in server.annotations if "fault" in mark["tags"]}
    failed = next(text for text in faults if text.startswith("failed: QEMU said: xxx"))
    assert len(failed) == 120
    assert faults == {
        failed: ["labctl", run.name, "trial 2", "fault"],
        "attempt 1 cut off: node b is gone": ["labctl", run.name, "trial 2", "fault"],
        "pair a-b lost a node": ["labctl", run.name, "pair a-b", "fault"],
        "pair a-b set aside: b: no ssh": ["labctl", run.name, "pair a-b", "fault"],
    }
    assert annotate(server, run) == ["0 new marks"]


def test_a_machine_that_was_lost_is_a_fault(server: Grafana, run: Path) -> None:
    path = next(run.glob("trials/0001*/trial.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"verdict": "lost", "reason": None}))
    annotate(server, run)
    faults = [mark["text"] for mark in server.annotations if "fault" in mark["tags"]]
    assert faults == ["lost: no reason known"]


def test_the_dashboards_ask_for_these_marks(server: Grafana, run: Path) -> None:
    annotate(server, run)

    def shown(board: str) -> dict[str, int]:
        """By the name of its query, how many."""
        counts = {}
        for query in dashboards()[board]["annotations"].get("list", []):
            if query["datasource"]["type"] != "grafana":
                continue
            target = query["target"]
            assert (target["type"], target["matchAny"]) == ("tags", False)
            tags = {tag.replace("$run", run.name).replace("$trial", "2") for tag in target["tags"]}
            counts[query["name"]] = sum(tags <= set(mark["tags"]) for mark in server.annotations)
        return counts

    assert shown("migration") == {"Marks": 12}
    assert shown("campaign") == {"Trials": 2, "Faults": 0}


# How it fails


REFUSALS: dict[str, tuple[Answer, str, str]] = {
    "a token of another": ((401, {"message": "Invalid API key"}), "answers 401: Invalid API key", VARIABLE),
    "may not": ((403, {"message": "You'll need additional permissions"}), "answers 403: You'll need", "role Admin"),
    "nothing there": ((404, "<html>nginx</html>"), "answers 404", "--url"),
    "taken": ((409, {"message": "the same name already exists"}), "answers 409: the same name", "rename it"),
    "changed": ((412, {"message": "has been changed", "status": "version-mismatch"}), "answers 412: has been changed", "rename it"),
    "bad": ((400, {"message": "Cannot save provisioned dashboard"}), "answers 400: Cannot save provisioned dashboard", ""),
    "broken": ((500, {"message": "database is locked"}), "answers 500: database is locked", "own log"),
    "a gateway": ((502, "<html><h1>Bad Gateway</h1></html>"), "answers 502", "own log"),
    "a page": ((200, "<html>Log in</html>"), "does not answer as Grafana does", "--url"),
    "no JSON": ((200, '{"id": '), "does not answer as Grafana does", "--url"),
    "other JSON": ((200, ["id"]), "does not answer as Grafana does", "--url"),
    "an echo": ((400, {"message": f"what is {TOKEN}?"}), "answers 400: what is …?", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_says_where_and_what_to_do(server: Grafana, name: str) -> None:
    answer, fault, mend = REFUSALS[name]
    server.instead["POST", "/folders"] = answer
    said = sync(server)
    assert said.status == 1
    assert f"{server.url}: {fault}" in said.err
    assert "<" not in said.err
    assert ("mend: " in said.err) is bool(mend)
    assert mend in said.err


@pytest.mark.parametrize("name", ["may not", "broken", "a page", "other JSON"])
@pytest.mark.parametrize(
    "asked",
    [
        ("GET", "/folders"),
        ("POST", "/dashboards"),
        ("GET", "/datasources"),
        ("POST", "/datasources"),
    ],
)
def test_whatever_is_refused(server: Grafana, name: str, asked: tuple[str, str]) -> None:
    server.instead[asked] = REFUSALS[name][0]
    said = sync(server)
    made_all_the_same = asked[0] == "GET" and name == "may not"
    assert said.status == (0 if made_all_the_same else 1)
    assert (f"{server.url}: {REFUSALS[name][1]}" in said.err) is not made_all_the_same


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_of_marks_does_too(server: Grafana, run: Path, name: str) -> None:
    answer, fault, _ = REFUSALS[name]
    for method in ("GET", "POST"):
        server.instead = {(method, "/annotations"): answer}
        if method == "GET" and name == "other JSON":
            server.instead[method, "/annotations"] = 200, {"id": 1}
        said = Said("annotate", str(run), "--url", server.url)
        assert said.status == 1
        assert f"{server.url}: {fault}" in said.err


def test_what_the_role_editor_may_is_done_all_the_same(server: Grafana) -> None:
    server.instead["GET", "/datasources"] = server.instead["POST", "/datasources"] = 403, {}
    assert sync(server).status == 1
    assert len(server.dashboards) == len(dashboards())


def test_a_grafana_that_says_nothing(server: Grafana, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "ANSWER_S", 0.2)
    server.instead["GET", "/folders"] = None
    said = sync(server)
    assert (said.status, said.err) == (1, f"error: {server.url}: gave no answer within 0.2 s\n")


@pytest.mark.parametrize("ip", ["127.0.0.1", "[::1]"])
def test_no_grafana_at_all(ip: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://{ip}:{taken.getsockname()[1]}"
        said = Said("sync", "--url", url)
    assert said.status == 1
    assert said.err.startswith(f"error: {url}: cannot be reached: ")
    assert len(said.err) < 200
    assert "--url" in said.err


# The token, and addresses


def test_the_token_may_stand_in_a_file(
    server: Grafana, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    monkeypatch.setenv(VARIABLE, "of somebody else")
    monkeypatch.setenv(f"{VARIABLE}_FILE", str(file))
    assert sync(server).status == 0
    file.write_bytes(b"\xff\xfe")
    assert "is no text" in sync(server).err
    file.unlink()
    said = sync(server)
    assert (said.status, str(file) in said.err) == (2, True)


@pytest.mark.parametrize("token", [None, "", "two words", "glsa_a\nb"])
def test_no_token(server: Grafana, token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    if token is not None:
        monkeypatch.setenv(VARIABLE, token)
    said = sync(server)
    assert said.status == 2
    assert VARIABLE in said.err
    assert not token or token not in said.err
    assert server.asked == []


@pytest.mark.parametrize("option", ["--url", "--prometheus"])
@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:3000", "ftp://host", "http://", "http://h:port", "http://[::1", "http://h:0"]
)  # fmt: skip
def test_what_is_no_address(server: Grafana, option: str, url: str) -> None:
    said = Said("sync", "--url", server.url, option, url)
    assert said.status == 2
    assert f"{option}: " in said.err
    assert "no address" in said.err
    assert "mend: as in http://127.0.0.1:" in said.err
    assert server.asked == []


@pytest.mark.parametrize("option", ["--url", "--prometheus"])
@pytest.mark.parametrize(
    "url", ["http://u:hush@h", "https://hush@h", "x://u:hush@h", "u:hush@h", "http://u:hush@[h"]
)
def test_a_password_in_an_address_is_refused_and_not_shown(
    server: Grafana, option: str, url: str
) -> None:
    said = Said("sync", "--url", server.url, option, url)
    assert said.status == 2
    assert f"{option}: " in said.err
    assert "hush" not in said.out + said.err
    assert server.asked == []


def test_an_address_is_no_page_of_it(server: Grafana) -> None:
    said = Said("sync", "--url", f"{server.url}/d/abc?orgId=1")
    assert said.status == 2
    assert "more than host and path" in said.err


def test_remote_write_and_grafana_check_addresses_alike() -> None:
    from labctl.monitoring.sending import Target

    for url in ("http://u:hush@h/api", "h:9090"):
        with pytest.raises(InputError) as ours:
            checked(url, place="--remote-write", example="e", instead="i")
        with pytest.raises(InputError) as theirs:
            Target(url)
        assert ours.value.fault == theirs.value.fault


# What it stands on


def test_without_the_extra_the_mend_is_to_install_it(
    server: Grafana, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grafana_client.api", None)
    said = sync(server)
    assert said.status == 2
    assert "pip install 'labctl[grafana]'" in said.err


def test_it_is_loaded_when_it_is_needed_only() -> None:
    script = "import sys, labctl.monitoring.grafana, labctl.cli.grafana; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    heavy = {"grafana_client", "niquests", "urllib3", "urllib3_future", "pandas", "google"}
    assert heavy.isdisjoint(done.stdout.split())


def test_urllib3_is_the_real_one() -> None:
    """grafana-client brings urllib3-future, whose wheel would take its place for everybody in this environment."""
    real, other = (
        str(vars(import_module(name))["__version__"]) for name in ("urllib3", "urllib3_future")
    )
    assert (real, other) == (version("urllib3"), version("urllib3-future"))
    assert real != other


def test_nothing_to_mark_asks_nothing(server: Grafana) -> None:
    with adapter.Grafana(server.url) as there:
        assert there.put_marks([]) == 0
        lone: Any = Annotation(1, None, "text", ("labctl", "r", "fault"))
        assert there.put_marks([lone]) == 1
    assert [asked[0] for asked in server.asked] == ["GET", "POST"]
