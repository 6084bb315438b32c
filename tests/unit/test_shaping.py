"""What leaves an interface: the commands that shape it, how much netem must hold, what is set back, and how long it is measured."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.campaign.specs import LINK_BANDWIDTH, LINK_DELAY
from labctl.node import interfaces, link, shaping
from labctl.node.protocol import RequestError
from labctl.node.shaping import Shape

TBF = "tbf rate 100000000bit burst 32768 latency 50ms"


class Kernel:
    """Stands in for iproute2 and the kernel behind it: one interface, lab0, and what was done to it."""

    def __init__(self) -> None:
        self.segments = shaping.MOST_SEGMENTS
        self.qdiscs: list[dict[str, Any]] = []
        self.refuses: dict[str, str] = {}
        self.done: list[str] = []

    def run(self, *argv: str) -> str:
        command = " ".join(argv)
        for word, said in self.refuses.items():
            if word in argv:
                raise RequestError("command", f"{command}: {said}")
        if "show" in argv:
            shown = [{"ifname": "lab0", "mtu": 1500, "gso_max_segs": self.segments}]
            return json.dumps(self.qdiscs if argv[0] == "tc" else shown)
        if "gso_max_segs" in argv:
            self.segments = int(argv[-1])
        self.done.append(command)
        return ""


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(shaping, "run", made.run)
    monkeypatch.setattr(interfaces, "run", made.run)
    return made


@pytest.mark.parametrize(
    ("asked", "commands"),
    [
        (Shape(None, 0, 0), []),
        (Shape(100_000_000, 0, 0), [f"tc qdisc add dev lab0 root {TBF}"]),
        (
            Shape(100_000_000, 0.01, 0),
            [
                "ip link set lab0 gso_max_segs 1",
                "tc qdisc add dev lab0 root handle 1: netem limit 3418 delay 10000us",
                f"tc qdisc add dev lab0 parent 1: {TBF}",
            ],
        ),
        (
            Shape(100_000_000, 0, 0.015),
            [
                "ip link set lab0 gso_max_segs 1",
                "tc qdisc add dev lab0 root handle 1: netem limit 2441 loss 1.5%",
                f"tc qdisc add dev lab0 parent 1: {TBF}",
            ],
        ),
        (
            Shape(None, 0.0000015, 0.000001),
            [
                "ip link set lab0 gso_max_segs 1",
                "tc qdisc add dev lab0 root handle 1: netem limit 2441553 delay 1.5us loss 0.0001%",
            ],
        ),
    ],
    ids=["nothing", "rate", "rate and delay", "rate and loss", "delay and loss of a link as it is"],
)
def test_the_commands_of_a_shape(kernel: Kernel, asked: Shape, commands: list[str]) -> None:
    """netem is the root, where there is one, and the bucket below it; what stood there is taken away first."""
    described = shaping.shape("lab0", asked, shaping.MOST_SEGMENTS)
    assert kernel.done == ["tc qdisc del dev lab0 root", *commands]
    below = {"qdisc": "tbf", "rate_bits_per_s": 10**8, "burst_bytes": 32768, "latency_ms": 50}
    bucket = None if asked.bits_per_s is None else below
    if asked.delay_s or asked.loss:
        assert described is not None
        assert (described["delay_s"], described["loss"]) == asked[1:]
        assert described["below"] == bucket
    else:
        assert described == bucket


def test_what_tcp_hands_over_is_set_back_with_the_last_delay(kernel: Kernel) -> None:
    kernel.segments = 64
    keeper = interfaces.Keeper(lambda _kept: None)
    keeper.keep("lab0")
    for asked, segments in [(Shape(None, 0.01, 0), 1), (Shape(10**8, 0, 0.1), 1), (Shape(10**8, 0, 0), 64)]:  # fmt: skip
        shaping.shape("lab0", asked, keeper.segments("lab0"))
        assert kernel.segments == segments
    assert sum("gso_max_segs" in command for command in kernel.done) == 2


def test_a_kept_interface_is_set_back_whole(kernel: Kernel) -> None:
    """Also by who cleans up, of what was stored."""
    kernel.segments = 64
    stored: list[list[dict[str, Any]]] = []
    keeper = interfaces.Keeper(stored.append)
    keeper.keep("lab0")
    shaping.shape("lab0", Shape(10**8, 0.01, 0), keeper.segments("lab0"))
    kernel.done.clear()
    interfaces.restore(json.loads(json.dumps(stored[-1])))
    assert kernel.segments == 64
    assert kernel.done == [
        "tc qdisc del dev lab0 root",
        "ip link set lab0 mtu 1500",
        "ip link set lab0 gso_max_segs 64",
    ]


def test_an_interface_that_somebody_else_shapes_by_netem_is_refused(kernel: Kernel) -> None:
    kernel.qdiscs = [{"kind": "netem", "handle": "1:", "root": True}]
    with pytest.raises(RequestError, match=r"\(netem\); mend: tc qdisc del dev lab0 root"):
        interfaces.Keeper(lambda _kept: None).keep("lab0")


def test_both_queueing_disciplines_are_described(kernel: Kernel) -> None:
    netem = {"kind": "netem", "handle": "1:", "root": True}
    bucket = {"kind": "tbf", "handle": "8001:", "parent": "1:"}
    cases: list[tuple[list[dict[str, Any]], Any, Any]]
    cases = [([bucket, netem], netem, bucket), ([netem], netem, None), ([], None, None)]
    for qdiscs, root, below in cases:
        kernel.qdiscs = qdiscs
        described = shaping.describe("lab0")
        assert (described["qdisc"], described["below"]) == (root, below)


def test_what_a_kernel_without_netem_says(kernel: Kernel) -> None:
    assert shaping.netem_refused() is None
    assert kernel.done == ["unshare --net tc qdisc add dev lo root netem delay 1ms"]
    kernel.refuses = {"netem": "Error: Specified qdisc kind is unknown."}
    assert shaping.netem_refused() == "Specified qdisc kind is unknown"


BITS_PER_S = st.integers(int(LINK_BANDWIDTH.low or 0), int(LINK_BANDWIDTH.high or 0))
DELAYS_S = st.floats(0, LINK_DELAY.high or 0)


@given(BITS_PER_S, DELAYS_S)
def test_netem_holds_more_than_a_stream_has_under_way(bits_per_s: int, delay_s: float) -> None:
    """Twice a round trip and the bucket's queue in packets of 1500 bytes, as slow start overshoots."""
    under_way_bytes = bits_per_s / 8 * (2 * delay_s + 0.05)
    held = shaping.held_packets(bits_per_s, delay_s)
    assert held >= max(1000, 2 * under_way_bytes / 1514)
    assert held < 2**32, "the kernel's type"
    assert shaping.held_packets(None, delay_s) < 2**32


@given(st.none() | BITS_PER_S, DELAYS_S)
def test_a_far_link_is_measured_for_longer_and_never_without_end(
    bits_per_s: int | None, delay_s: float
) -> None:
    near, far = link.windows_s(bits_per_s, 0), link.windows_s(bits_per_s, 2 * delay_s)
    assert all(n <= f <= 8 for n, f in zip(near, far, strict=True))
    assert 5 <= link.idle_pings(2 * delay_s) <= 20
    pings_s = link.idle_pings(2 * delay_s) * 2 * delay_s
    assert sum(far) + pings_s <= 30, "beside the round trips that the wait allows"


def test_an_interface_without_a_discipline_of_its_own_is_left(kernel: Kernel) -> None:
    kernel.refuses = {"del": "RTNETLINK answers: No such file or directory"}
    shaping.unshape("lab0")
    assert kernel.done == []
