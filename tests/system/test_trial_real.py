"""Whole campaigns of real migrations: each kind of algorithm, what is recorded, and each outcome."""

import json
import platform
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labctl import api
from labctl.campaign import Campaign
from labctl.guest.build import guest_image, guest_sha256
from labctl.node.command_line import find_qemu
from labctl.results.environment import KEYS, flat
from labctl.results.figures.seen import Seen
from labctl.results.run import Run, Trial, load_run
from labctl.results.schema import TrialRecord
from tests.system.bench import BUSY_TRIES, MIB, PAGE_BYTES, campaign
from tests.system.conftest import own_state_root

pytestmark = [pytest.mark.root, pytest.mark.qemu, pytest.mark.slow, pytest.mark.timeout(300)]

KINDS = ("stop_and_copy", "precopy", "postcopy", "hybrid")
RATES = ("0MiBps", "40MiBps")
CELLS = [f"{kind},write_rate={rate}" for kind in KINDS for rate in RATES]
MEMORY_BYTES = 64 * MIB
LEAST_BYTES = 0.97 * MEMORY_BYTES
"""The rest are zero pages, which cost almost nothing: firmware's, and what the guest has no use for."""
ACCOUNTED_LATE_NS = 20_000_000
"""The kernel adds the time of a thread that runs at its next tick; the process's own is exact. So what
the vCPUs have not used, a difference, can fall by some ticks."""
SIDES = ("source", "destination")
NEVER_VALID = "its load was never valid: the machine is too busy"


def run_valid(asked: Campaign, out: Path) -> dict[str, Trial]:
    """Run a campaign, and again each cell that had no valid load on a busy machine; its trials by cell."""
    done: dict[str, Trial] = {}

    def run(only: str | None) -> Run:
        made = load_run(api.run(asked, out=out, only=only).directory)
        for trial in made.trials():
            if trial.record.outcome == "invalid_load":
                print(f"{trial.record.cell}: {trial.record.reason}")
            else:
                done[trial.record.cell] = trial
        return made

    planned = run(only=None).plan.trials
    for cell in [trial.cell for trial in planned if trial.supported]:
        for _ in range(BUSY_TRIES - 1):
            if cell in done:
                break
            run(only=cell)
    return done


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Trial]]:
    """Each kind of algorithm at two write rates."""
    asked = campaign(matrix={"algorithm": KINDS, "write_rate": ["0MiB/s", "40MiB/s"]})
    with own_state_root():
        yield run_valid(asked, tmp_path_factory.mktemp("runs"))


@pytest.fixture(params=CELLS)
def trial(request: pytest.FixtureRequest, trials: dict[str, Trial]) -> Trial:
    """One of those trials."""
    assert request.param in trials, NEVER_VALID
    return trials[request.param]


@pytest.fixture
def record(trial: Trial) -> TrialRecord:
    """Its record."""
    return trial.record


def test_it_completes_and_the_memory_is_identical(trial: Trial, record: TrialRecord) -> None:
    assert (record.outcome, record.verdict, record.reason) == ("completed", "on_destination", None)
    check, hello = record.guest.check, record.guest.hello
    assert check is not None
    assert hello is not None
    assert check.pages_checked * PAGE_BYTES == hello["checked_bytes"] > 0.95 * MEMORY_BYTES
    assert (check.pages_bad, check.work_regressed, check.seq_regressed) == (0, False, False)
    assert record.figures["memory_identical"] is True
    assert record.final_status["destination"]["status"] == "running"
    assert record.final_query_migrate is not None
    assert record.final_query_migrate["status"] == "completed"


def test_the_record_says_what_was_run(record: TrialRecord) -> None:
    assert record.guest.sha256 == guest_sha256(guest_image())
    wanted = {"events": True} | (
        {"postcopy-ram": True} if record.spec["algorithm"]["kind"] in KINDS[2:] else {}
    )
    for side in SIDES:
        qemu = record.qemu[side]
        assert qemu.path == find_qemu("qemu-system-x86_64")
        assert re.fullmatch(r"\d+\.\d+\.\d+", qemu.version or "")
        assert re.fullmatch(r"pc-.+-\d+\.\d+", qemu.machine_type or "")
        assert qemu.argv[0] == qemu.path
        assert qemu.machine_type in qemu.argv
        assert any(record.guest.hello and f"nonce={record.guest.hello['nonce']:08x}" in argument
                   for argument in qemu.argv)  # fmt: skip
        assert wanted.items() <= qemu.capabilities_in_force.items()
        assert qemu.parameters_in_force["downtime-limit"] == 300
        assert len(record.clocks.anchors[side]) >= 2
    assert len(record.clocks.anchors["observer"]) >= 2
    assert ("-incoming" in record.qemu["destination"].argv) > (
        "-incoming" in record.qemu["source"].argv
    )
    link = record.links["migration"]
    assert link.asked_bits_per_s == 10**9
    assert link.goodput_bits_per_s
    assert link.goodput_bits_per_s < 1e9
    assert link.rtt_idle_ms
    assert link.rtt_loaded_ms


def test_its_states_are_in_order(record: TrialRecord) -> None:
    order = ["prepare", "boot", "fill", "baseline", "setup", "precopy", "switching", "postcopy",
             "settle", "check", "closed"]  # fmt: skip
    entered = record.times.entered
    # A hybrid may finish before its switch.
    assert set(order) - set(entered) == (set() if record.figures["switched"] else {"postcopy"})
    moments = [entered[state] for state in order if state in entered]
    assert moments == sorted(moments)
    assert record.times.migrate_start_ns is not None
    assert record.times.migrate_end_ns is not None
    assert entered["precopy"] <= record.times.migrate_start_ns < record.times.migrate_end_ns


def test_query_migrate_is_kept_whole_from_both_sides(trial: Trial) -> None:
    samples = trial.samples
    for side in SIDES:
        replies = samples[(samples["kind"] == "migrate") & (samples["side"] == side)]
        whole = [json.loads(text) for text in replies["raw"]]
        assert len(whole) > 20
        assert whole[0].get("status") in {None, "setup", "none"}
        assert any(reply.get("status") == "completed" for reply in whole)
    source = samples[(samples["kind"] == "migrate") & (samples["side"] == "source")]
    assert (source["transferred_bytes"].dropna().astype(int).diff().dropna() >= 0).all()
    last = json.loads(source["raw"].iloc[-1])
    assert last["ram"]["transferred"] == source["transferred_bytes"].iloc[-1]
    assert last["ram"]["transferred"] > LEAST_BYTES
    assert (source["request_ns"] <= source["reply_ns"]).all()


def test_the_memory_crossed_the_link(trial: Trial) -> None:
    """By the counters of the interface and of its queue, at both ends."""
    host = trial.samples[trial.samples["kind"] == "host"]
    source, destination = (host[host["side"] == side] for side in SIDES)

    def grown(table: pd.DataFrame, column: str) -> int:
        counts = table[column].astype(np.int64)
        assert (counts.diff().dropna() >= 0).all()
        return int(counts.iloc[-1] - counts.iloc[0])

    wire = grown(source, "qdisc_sent_bytes")
    sent = grown(source, "tx_bytes")
    received = grown(destination, "rx_bytes")
    assert LEAST_BYTES < wire < 3 * MEMORY_BYTES
    assert LEAST_BYTES < sent <= wire
    assert received == pytest.approx(sent, rel=0.01)
    assert grown(source, "rx_bytes") < 0.1 * sent
    assert trial.record.figures["wire_bytes"] == pytest.approx(wire, rel=0.02)


def test_host_counters_of_both_sides(trial: Trial) -> None:
    host = trial.samples[trial.samples["kind"] == "host"]
    for side in SIDES:
        table = host[host["side"] == side]
        for column in ("vcpu_cpu_ns", "vcpu_run_delay_ns", "other_cpu_ns"):
            steps = np.diff(table[column].dropna().astype(np.int64))
            assert (steps >= -ACCOUNTED_LATE_NS).all(), column
        assert int(table["rss_bytes"].iloc[-1]) > MEMORY_BYTES
        names = {name.split("/")[0] for name in json.loads(table["threads"].iloc[-1])}
        assert any(name.startswith("CPU 0/") or name == "CPU 0" for name in names), names


def test_cpu_time_is_that_of_what_ran(trial: Trial, record: TrialRecord) -> None:
    """The guest keeps a vCPU busy wherever it runs, and nowhere else, which its beats show; the rest of QEMU works too."""
    seen = Seen(record, trial.beats, trial.samples, trial.events)
    span, host = seen.migration, seen.sampled("host", "source")
    assert span is not None
    beats = seen.beats.within(span)
    mine = beats.t_ns[~beats.on_destination]
    ran_s = int(mine[-1] - mine[0]) / 1e9 if mine.size else 0.0
    delays_ns = host[host["reply_ns"].between(span.start_ns, span.end_ns)]["vcpu_run_delay_ns"]
    delayed_s = float(delays_ns.max() - delays_ns.min()) / 1e9

    def cpu_s(column: str) -> float:
        return float(str(record.figures[column]))

    edges_s = 0.05  # some samples and ticks at each end
    vcpu_s = cpu_s("cpu_source_vcpu_s")
    assert 0.75 * (ran_s - delayed_s) - edges_s < vcpu_s < ran_s + edges_s
    if record.asked("algorithm", "kind") in {"stop_and_copy", "precopy"}:
        assert cpu_s("cpu_destination_vcpu_s") < edges_s
    for side in SIDES:
        vcpu_s, other_s = cpu_s(f"cpu_{side}_vcpu_s"), cpu_s(f"cpu_{side}_other_s")
        assert other_s > 0
        assert cpu_s(f"cpu_{side}_s") == pytest.approx(vcpu_s + other_s)


def test_a_host_is_sampled_every_10_ms(trials: dict[str, Trial]) -> None:
    """The median: a busy machine makes single samples late, which due, request and reply times tell."""
    gaps = []
    for trial in trials.values():
        host = trial.samples[trial.samples["kind"] == "host"]
        for _side, table in host.groupby("side", observed=True):
            assert (table["request_ns"] >= table["due_ns"] - 1_000_000).all()
            gaps += list(np.diff(table["request_ns"].astype(np.int64)) / 1e6)
    assert 9 < np.median(gaps) < 15


def test_events_have_the_times_of_qemu(trial: Trial, record: TrialRecord) -> None:
    events = trial.events
    qmp = [event for event in events if event["kind"] == "qmp"]
    for event in qmp:
        anchor = record.clocks.anchors[event["side"]][0]
        sent_ns = event["qemu_realtime_ns"] - anchor.realtime_ns + anchor.monotonic_ns
        assert -1e6 < event["t_ns"] - sent_ns < 1e9, "received before it was sent, or long after"
    seen = {(event["side"], event["name"]) for event in qmp}
    assert {("source", "STOP"), ("destination", "RESUME")} <= seen
    for side in SIDES:
        statuses = [
            e["data"]["status"] for e in qmp if e["side"] == side and e["name"] == "MIGRATION"
        ]
        assert statuses[-1] == "completed"
    commands = {(event["side"], event["name"]) for event in events if event["kind"] == "command"}
    assert {("source", "migrate"), ("destination", "migrate-incoming")} <= commands
    states = [event["name"] for event in events if event["kind"] == "state"]
    assert states[0] == "prepare"
    assert states[-1] == "closed"
    assert [e["t_ns"] for e in events] == sorted(e["t_ns"] for e in events)


def test_every_beat_is_kept_and_the_guest_was_in_one_place(trial: Trial) -> None:
    beats = trial.beats
    source, destination = (beats[beats["side"] == side] for side in SIDES)
    assert len(source) > 300
    assert len(destination) > 100
    assert source["t_ns"].max() < destination["t_ns"].min()
    steps = np.diff(beats["seq"].astype(np.int64))
    assert (steps > 0).all()
    assert (steps > 1).sum() <= 2, "more than the one that the move cuts in two was lost"
    work = beats["work0"].astype(np.int64)
    assert (work.diff().dropna() >= 0).all()
    if trial.record.cell.endswith("=0MiBps"):
        assert work.iloc[-1] == 0


def test_the_load_was_what_was_asked(trials: dict[str, Trial]) -> None:
    for trial in trials.values():
        figures = trial.record.figures
        asked = figures["write_rate_asked_bytes_per_s"]
        measured = figures["write_rate_measured_bytes_per_s"]
        assert measured == pytest.approx(asked, rel=0.05)
        judged = trial.record.guest.model_dump()["write_rate"]["windows_bytes_per_s"]
        assert measured == pytest.approx(judged[-1], rel=1e-6), "the figure is of what was judged"


def test_the_run_is_a_frame(trials: dict[str, Trial]) -> None:
    runs = {trial.path.parents[1] for trial in trials.values()}
    frames = [load_run(run).frame() for run in runs]
    assert sum(len(frame) for frame in frames) >= len(CELLS)
    environments = [load_run(run).environment for run in runs]
    for environment in environments:
        ends = environment["pairs"]["a-b"]["ends"]
        assert {"a", "b"} == set(ends)
        assert ends["a"]["host"]["kernel"]["release"] == platform.release()
        assert list(ends["a"]["host"]["network"]["interfaces"]) == ["lab0"]
        assert re.fullmatch("[0-9a-f]{64}", ends["a"]["build"]["sha256"])
        assert "tcg" in ends["a"]["build"]["accelerators"]
        unknown = [p for p, _ in flat(environment) if not any(key.names(p) for key in KEYS)]
        assert unknown == [("schema_version",)], "in the reference, and nothing else"
        assert ends["a"]["accelerators"]["chosen"] in {"tcg", "kvm"}


def test_above_the_link_precopy_does_not_converge_and_postcopy_and_hybrid_complete(
    state_root: Path, tmp_path: Path
) -> None:
    asked = campaign(
        # The link carries 36 MiB in the 300 ms of the limit: a smaller working set would fit into it.
        guest={"memory": "128MiB", "working_set": "64MiB", "write_rate": "400MiB/s"},
        # Precopy takes all of it; hybrid's one pass of 128 MiB takes a second, and two on a busy machine.
        limits={"total_time": "6s"},
        matrix={"algorithm": ["precopy", "postcopy", "hybrid"]},
    )
    records = {name: trial.record for name, trial in run_valid(asked, tmp_path).items()}
    precopy = records["precopy"]
    assert (precopy.outcome, precopy.verdict) == ("not_converged", "on_source")
    assert precopy.reason
    assert precopy.figures["blackout_ms"] is None
    assert precopy.schedule["result"]["fired"] == ["limit"]
    for name in ("postcopy", "hybrid"):
        record = records[name]
        assert (record.outcome, record.verdict) == ("completed", "on_destination")
        assert record.figures["memory_identical"] is True
        assert record.figures["switched"] is True
    conditions = [rule["when"] for rule in records["hybrid"].schedule["source"]["rules"]]
    assert {"passes": 1} in conditions


def test_a_rate_beyond_the_machine_is_no_valid_load_and_says_what_was_reached(
    state_root: Path, tmp_path: Path
) -> None:
    asked = campaign(guest={"write_rate": "100GiB/s"})
    result = api.run(asked, out=tmp_path)
    (trial,) = load_run(result.directory).trials()
    record = trial.record
    assert (record.outcome, record.verdict) == ("invalid_load", "on_source")
    said = re.fullmatch(
        r"asked for 102400 MiB/s, this machine reached (\d+) MiB/s", record.reason or ""
    )
    assert said
    reached = max(record.guest.model_dump()["write_rate"]["windows_bytes_per_s"])
    assert int(said[1]) == round(reached / MIB)
    assert 100 * MIB < reached < 50 << 30
    assert result.exit_code == 1
    assert record.times.migrate_start_ns is None


def test_variants_complete_or_are_refused_in_the_plan_by_this_qemu(
    state_root: Path, tmp_path: Path
) -> None:
    """multifd, preempt, multifd with postcopy, two vCPUs; RDMA is not in this lab."""
    asked = campaign(
        # So slow a load is reached on a busy machine too: two spinning vCPUs need both cores else.
        guest={"write_rate": "512KiB/s"},
        timing={"baseline": "1s"},
        algorithms={
            "multifd": {"kind": "precopy", "multifd_channels": 2},
            "preempt": {"kind": "postcopy", "preempt": True},
            "both": {"kind": "hybrid", "multifd_channels": 2},
        },
        matrix={
            "algorithm": ["multifd", "preempt", "both"],
            "vcpus": [1, 2],
            "transport": ["tcp", "rdma"],
        },
        exclude=[{"algorithm": "both", "vcpus": 1}, {"vcpus": 1, "transport": "rdma"}],
    )
    done = run_valid(asked, tmp_path)
    plan = load_run(tmp_path / "latest").plan
    for planned in plan.trials:
        if "rdma" in planned.cell:
            assert planned.rule == "transport-not-in-lab"
            assert planned.reason == (
                "no RDMA at the source and the destination: no RDMA device belongs to lab0"
            )
            assert planned.cell not in done
        elif not planned.supported:
            assert planned.rule in {
                "qemu-refuses",
                "capability-missing",
                "multifd-postcopy",
                "multifd-postcopy-breaks",
            }
            assert "QEMU" in (planned.reason or "")
            assert planned.cell not in done
        else:
            assert planned.cell in done, NEVER_VALID
            record = done[planned.cell].record
            assert (record.outcome, record.reason) == ("completed", None), planned.cell
    supported = {planned.cell.split(",")[0] for planned in plan.trials if planned.supported}
    assert {"multifd", "preempt"} <= supported

    two = done["multifd,vcpus=2,transport=tcp"]
    assert two.record.qemu["destination"].capabilities_in_force["multifd"] is True
    assert two.record.qemu["source"].parameters_in_force["multifd-channels"] == 2
    assert {"work0", "work1"} <= set(two.beats.columns)
    for column in ("work0", "work1"):
        assert int(two.beats[column].iloc[-1]) > 50
    preempt = done["preempt,vcpus=1,transport=tcp"].record
    assert preempt.qemu["source"].capabilities_in_force["postcopy-preempt"] is True
