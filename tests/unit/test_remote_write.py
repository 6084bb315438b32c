"""Remote write: what is sent, and what happens when nobody takes it. A server of our own on the loopback address stands in
for Prometheus; tests/system/test_prometheus.py has a real one.
"""

import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.errors import InputError
from labctl.events import RunStarted, TrialEnded
from labctl.monitoring import remote, wire
from labctl.monitoring.readings import METRICS
from labctl.monitoring.remote import RemoteWriter
from labctl.monitoring.samples import RunSeries, SeriesOf
from labctl.monitoring.sending import Away, Fate, Refused, Target
from labctl.results import load_run
from labctl.results.run import Run
from tests import synthetic

ENOUGH_BYTES = 1 << 24
WAIT_S = 30.0
METRIC = METRICS["sample_remaining_bytes"]


class Server:
    """Takes requests, and answers each with the status that is asked for."""

    def __init__(self) -> None:
        self.statuses: Iterator[int] = iter(())
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.asked = threading.Semaphore(0)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                status = next(outer.statuses, 204)
                if status == 204:
                    outer.bodies.append(data)
                outer.headers.append(dict(self.headers))
                self.send_response(status)
                self.end_headers()
                if status != 204:
                    self.wfile.write(b"not now")
                outer.asked.release()

            def log_message(self, *args: object) -> None:
                """Nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/v1/write"

    def wait_asked(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.asked.acquire(timeout=WAIT_S)

    def samples(self) -> dict[tuple[tuple[str, str], ...], list[tuple[int, float]]]:
        """All that was taken, by the labels of each series, without the marks of ends."""
        found: dict[tuple[tuple[str, str], ...], list[tuple[int, float]]] = {}
        for data in self.bodies:
            for labels, samples in wire.read_body(data, message_bytes(data)).items():
                found.setdefault(labels, []).extend(s for s in samples if not is_stale(s[1]))
        return found


def message_bytes(data: bytes) -> int:
    """How long a snappy block is when it is unpacked: a varint at its begin."""
    size = shift = 0
    for byte in data:
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return size
        shift += 7
    raise AssertionError


def is_stale(value: float) -> bool:
    return struct.pack("<d", value) == struct.pack("<d", wire.STALE)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return load_run(synthetic.fake_run(tmp_path_factory.mktemp("runs"), trials=4))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of a test's length."""
    monkeypatch.setattr(remote, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(remote, "LONGEST_PAUSE_S", 0.05)


@contextmanager
def writing(run: Run, url: str) -> Iterator[tuple[RemoteWriter, list[str], Callable[[int], None]]]:
    """A writer of a run, what it tells, and what ends a trial."""
    told: list[str] = []
    with RemoteWriter(Target(url), told.append) as writer:
        writer.handle(RunStarted(run.path, run.name, 4, 0, 1.0, ("a-b",), "lab"))

        def end(number: int) -> None:
            name = run.trial(number).record.name
            writer.handle(TrialEnded(number, name, "completed", None, None, False, 1.0))

        yield writer, told, end


def expected(
    run: Run, numbers: list[int]
) -> dict[tuple[tuple[str, str], ...], list[tuple[int, float]]]:
    found: dict[tuple[tuple[str, str], ...], list[tuple[int, float]]] = {}
    series = RunSeries(run, "lab")
    for of in chain.from_iterable(series.of(number) for number in numbers):
        labels = tuple(sorted({"__name__": of.metric.full_name, **of.labels}.items()))
        found.setdefault(labels, []).extend(zip(of.t_ms.tolist(), of.values.tolist(), strict=True))
    return found


# --- what a request is ---


def series(values: list[float]) -> SeriesOf:
    t_ms = np.arange(len(values), dtype=np.int64) * 10
    return SeriesOf(METRIC, {"run": "r", "pair": "a-b", "side": "source"}, t_ms, np.array(values))


@given(
    st.lists(st.lists(st.floats(allow_nan=False), min_size=1, max_size=30), max_size=8),
    st.integers(1, 12),
)
def test_parts_are_the_whole_in_order_and_none_is_too_large(
    values: list[list[float]], most: int
) -> None:
    whole = [series(of) for of in values]
    found = list(wire.parts(whole, most))
    assert all(sum(of.t_ms.size for of in part) <= most for part in found)
    assert all(sum(of.t_ms.size for of in part) == most for part in found[:-1])
    assert [v for part in found for of in part for v in of.values] == [
        v for of in values for v in of
    ]
    assert sum(of.ends for part in found for of in part) == len(whole)


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=30))
def test_a_body_says_what_it_was_given_and_that_the_series_has_ended(values: list[float]) -> None:
    data = wire.body([series(values)])
    ((labels, samples),) = wire.read_body(data, message_bytes(data)).items()
    assert labels == tuple(sorted(labels))
    assert dict(labels)["__name__"] == "labctl_sample_remaining_bytes"
    assert samples[:-1] == [(10 * place, value) for place, value in enumerate(values)]
    assert samples[-1][0] == 10 * len(values) - 9
    assert is_stale(samples[-1][1])


# --- what is sent ---


def test_all_samples_of_each_trial_are_sent(server: Server, run: Run) -> None:
    with writing(run, server.url) as (writer, told, end):
        for number in (1, 2):
            end(number)
    assert server.samples() == expected(run, [1, 2])
    assert +writer.trials == {Fate.SENT: 2}
    assert writer.samples == sum(len(of) for of in server.samples().values()) > 1000
    assert told == []
    assert server.headers[0]["Content-Encoding"] == "snappy"
    assert "Authorization" not in server.headers[0]


def test_who_is_away_for_a_while_gets_all_of_it_later(
    server: Server, run: Run, quick: None
) -> None:
    server.statuses = iter([503, 429, 500])
    with writing(run, server.url) as (writer, told, end):
        end(1)
        sent(writer, 1)
    assert server.samples() == expected(run, [1])
    assert writer.retries == 3
    assert [words.split(":")[0] for words in told] == ["remote write waits", "remote write goes on"]


def test_who_is_back_when_the_run_ends_gets_all_of_it_then(server: Server, run: Run) -> None:
    server.statuses = iter([503])
    with writing(run, server.url) as (writer, _told, end):
        for number in (1, 2):
            end(number)
        server.wait_asked()  # and the next try would come after a pause
    assert +writer.trials == {Fate.SENT: 2}
    assert server.samples() == expected(run, [1, 2])


def sent(writer: RemoteWriter, trials: int) -> None:
    """Wait until so many trials were sent; the test's time-out ends it."""
    while writer.trials[Fate.SENT] < trials:
        threading.Event().wait(0.01)


def test_what_is_refused_is_counted_and_the_rest_goes_on(server: Server, run: Run) -> None:
    server.statuses = iter([400])
    with writing(run, server.url) as (writer, told, end):
        end(1)
        end(2)
    assert +writer.trials == {Fate.REFUSED: 1, Fate.SENT: 1}
    whole = sum(len(of) for of in expected(run, [1, 2]).values())
    assert writer.samples == whole - remote.SAMPLES_A_REQUEST
    assert told[0].startswith("samples are refused: ")
    assert "answered 400: not now" in told[0]
    assert "1 trials are not in Prometheus" in told[-1]


def test_nobody_there_ends_at_once_and_says_what_is_missing(run: Run) -> None:
    with writing(run, "http://127.0.0.1:9/api/v1/write") as (writer, told, end):
        for number in (1, 2, 3):
            end(number)
        while not writer.retries:
            threading.Event().wait(0.01)
    assert writer.trials[Fate.DROPPED] == 3
    assert writer.waiting == 0
    assert "labctl export --openmetrics" in told[-1]


def test_of_a_full_list_the_oldest_is_left_out(
    server: Server, run: Run, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "MAX_WAITING", 2)
    server.statuses = iter([503] * 10_000)
    with writing(run, server.url) as (writer, _told, end):
        end(1)
        server.wait_asked()  # trial 1 is on its way, and waits for an answer
        for number in (2, 3, 4):
            end(number)
        assert writer.waiting == 2
        assert +writer.trials == {Fate.DROPPED: 1}
        server.statuses = iter(())
        sent(writer, 3)
    assert +writer.trials == {Fate.DROPPED: 1, Fate.SENT: 3}
    assert server.samples() == expected(run, [1, 3, 4])


def test_a_trial_whose_folder_is_gone_takes_nothing_along(server: Server, tmp_path: Path) -> None:
    run = load_run(synthetic.fake_run(tmp_path, trials=2))
    (run.trial(1).path / "samples.parquet").write_bytes(b"torn")
    with writing(run, server.url) as (writer, told, end):
        end(1)
        end(2)
    assert +writer.trials == {Fate.DROPPED: 1, Fate.SENT: 1}
    assert "samples of trial 1 cannot be read" in told[0]


# --- where to ---


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("prometheus:9090", "is no address"),
        ("ftp://host/write", "is no address"),
        ("http:///write", "is no address"),
        ("http://me:secret@host/write", "holds a password"),
    ],
)
def test_an_address_that_is_none_is_told(url: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        Target(url)
    assert raised.value.place == "--remote-write"
    assert raised.value.mend


def test_the_token_goes_into_the_request_and_nowhere_else(
    server: Server,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = tmp_path / "token"
    file.write_text("hidden-words\n")
    monkeypatch.setenv("LABCTL_REMOTE_WRITE_TOKEN_FILE", str(file))
    server.statuses = iter([401])
    with writing(run, server.url) as (_writer, told, end):
        end(1)
    assert server.headers[0]["Authorization"] == "Bearer hidden-words"
    assert "hidden-words" not in str(told) + caplog.text
    monkeypatch.setenv("LABCTL_REMOTE_WRITE_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(InputError, match="cannot be read: No such file"):
        Target(server.url)


def test_away_and_refused(server: Server) -> None:
    server.statuses = iter([500, 429, 400, 401, 404])
    for kind in (Away, Away, Refused, Refused, Refused):
        with pytest.raises(kind):
            Target(server.url).send(b"")
