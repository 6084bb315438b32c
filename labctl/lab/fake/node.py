"""A fake node: it answers each request as its pair's script says."""

import threading
import time
from collections import deque
from typing import Any, Final

from labctl.lab.fake.script import FakePair
from labctl.lab.fake.world import BLACKOUT_NS, PAGE_BYTES, World
from labctl.node.protocol import decode, encode, event, pack

RDMA_PORT: Final = {
    "device": "fake_0", "port": 1, "provider": "rxe", "link_layer": "Ethernet", "state": "ACTIVE", "mtu_bytes": 1024,
}  # fmt: skip
_DRAIN_S: Final = 5.0
_BEATS_ON: Final = {
    "completed": {"destination"}, "cancelled": {"source"}, "failed": {"source"},
    "hard-limit": {"source"}, "postcopy-paused": set[str](), "qemu-died": set[str](),
}  # fmt: skip


class FakeChannel:
    """A `NodeChannel` with a fake node at its other end, which answers at once and on the asker's thread."""

    def __init__(self, pair: FakePair, role: str) -> None:
        self._pair = pair
        self._role = role
        self._lines: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._read = True
        self._capabilities: dict[str, bool] = {}
        self._parameters: dict[str, Any] = {}
        self._shape: dict[str, Any] = {}
        self._status = ""
        self._sampling_since = 0
        self._by_rdma = False
        self._qmp: dict[str, Any] = {
            "migrate-set-capabilities": self._set_capabilities,
            "migrate-set-parameters": self._set_parameters,
            "query-migrate-capabilities": self._get_capabilities,
            "query-migrate-parameters": lambda _arguments: self._parameters,
            "query-migrate": self._query_migrate,
            "query-status": lambda _arguments: {"status": "running", "running": True},
        }
        self.closed = False

    # --- as a channel ---

    def send(self, line: bytes) -> None:
        """Take a request and put its answer where `receive` finds it."""
        if self.closed:
            raise BrokenPipeError("the channel is closed")
        request = decode(line)
        do, parameters = request["do"], request["with"]
        pair = self._pair
        pair.take_note(self._role, do, parameters)
        script = pair.script
        if pair.concerns(script.lose, self._role, do, parameters):
            self.close(0.0)
            return
        answer = self._scripted(do, parameters)
        if answer is not None:
            self._put(encode({"id": request["id"], **answer}))
        if script.vanishes and pair.concerns(script.vanishes[1], self._role, do, parameters):
            pair.lose(script.vanishes[0])

    def receive(self) -> bytes:
        """The next line, empty at the end."""
        with self._changed:
            self._read = not self._lines
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._lines)
            self._read = False
            return self._lines.popleft()

    def close(self, timeout_s: float) -> None:  # noqa: ARG002 - the protocol's
        """End the channel."""
        self.closed = True
        self._put(b"")

    def last_words(self) -> str:
        """None."""
        return ""

    def tell(self, name: str, **data: Any) -> None:
        """Tell an event."""
        self._put(encode(event(name, data)))

    def drain(self) -> None:
        """Wait until all that was told has been heard."""
        with self._changed:
            heard = self._changed.wait_for(
                lambda: self.closed or (self._read and not self._lines), _DRAIN_S
            )
        if not heard:
            raise TimeoutError("nobody listens to the fake node")

    def _put(self, line: bytes) -> None:
        with self._changed:
            self._lines.append(line)
            self._changed.notify_all()

    # --- as a node ---

    def _scripted(self, do: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
        """The answer that the script has for a request, or a node's."""
        pair, script = self._pair, self._pair.script
        if pair.concerns(script.ignore, self._role, do, parameters):
            return None
        for named, (code, message) in script.fail.items():
            if pair.concerns(named, self._role, do, parameters):
                return {"error": {"code": code, "message": message}}
        return self._answer(do, parameters)

    def _answer(self, do: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
        """The answer's `ok` or `error`; None for no answer at all."""
        name = "_" + do.replace(".", "_")
        service = getattr(self, name, None)
        if service is None:
            return {"error": {"code": "unknown", "message": f"no service {do!r}"}}
        answer: dict[str, Any] | None = service(parameters)
        return answer

    @property
    def _side(self) -> str:
        return self._pair.sides[self._role]

    @property
    def _world(self) -> World:
        return self._pair.world

    def _hello(self, _with: dict[str, Any]) -> dict[str, Any]:
        return _ok(
            {"version": 0, "pid": 0, "shared_host": False, "host": {}, "directory": "/nowhere"}
        )

    def _link_configure(self, asked: dict[str, Any]) -> dict[str, Any]:
        return _ok({"mtu": asked["mtu"]})

    def _link_shape(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._shape = asked
        return _ok({"qdisc": "fake", "rate_bits_per_s": asked["bits_per_s"]})

    def _link_state(self, _with: dict[str, Any]) -> dict[str, Any]:
        return _ok({"up": True})

    def _packets_serve(self, _with: dict[str, Any]) -> dict[str, Any]:
        return _ok({"port": 1})

    def _packets_send(self, _with: dict[str, Any]) -> dict[str, Any]:
        return _ok(None)

    def _link_describe(self, _with: dict[str, Any]) -> dict[str, Any]:
        return _ok({"link": {}, "qdisc": None, "below": None})

    def _rdma_port(self, _with: dict[str, Any]) -> dict[str, Any]:
        counters = {"sent_pkts": 0, "rcvd_pkts": 0}
        return _ok({**RDMA_PORT, "counters": counters})

    def _rdma_listening(self, _with: dict[str, Any]) -> dict[str, Any]:
        return _ok({"port": 1})

    def _link_serve(self, _with: dict[str, Any]) -> dict[str, Any]:
        return _ok({"port": 1})

    def _link_measure(self, _with: dict[str, Any]) -> dict[str, Any]:
        delay_ms = 2000 * self._shape["delay_s"] * self._pair.script.delay
        # A stream that loses packets does not fill its link.
        filled = 0.5 if self._shape["loss"] else 1.0
        wire = self._shape["bits_per_s"] * self._pair.script.link * filled
        return _ok(
            {
                "goodput_bits_per_s": round(wire * 0.94), "wire_bits_per_s": round(wire), "drops": 0,
                "rtt_idle_ms": 0.1 + delay_ms, "rtt_loaded_ms": 1.0 + delay_ms, "seconds": 0.1,
            }
        )  # fmt: skip

    def _observe_start(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._world.nonce = asked["nonce"]
        paths = {"source": "/nowhere/s", "destination": "/nowhere/d"}
        return _ok({"paths": paths, "door": None, **_anchor()})

    def _observe_clocks(self, _with: dict[str, Any]) -> dict[str, Any]:
        return _ok({})

    def _observe_wait(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        script = self._pair.script
        if asked["side"] == script.dies or (
            script.vanishes and asked["side"] == script.vanishes[0]
        ):
            return None  # a real one would wait to the time-out; what became of that side is known before
        if self._world.wait(asked["side"], asked):
            return _ok(self._world.state())
        message = f"{asked['name']}: not within {asked['timeout_s']:g} s"
        return {"error": {"code": "timeout", "message": message}}

    def _observe_state(self, _with: dict[str, Any]) -> dict[str, Any]:
        return _ok(self._world.state())

    def _observe_rate(self, _with: dict[str, Any]) -> dict[str, Any]:
        return _ok({"bytes_per_s": self._world.rate_bytes_per_s, "seconds": 1.0, "beats": 2000})

    def _observe_take(self, _with: dict[str, Any]) -> dict[str, Any]:
        world, beats = self._world, self._pair.script.beats
        taken = pack(world.packed() if beats is None else beats)
        skipped = {"source": 0, "destination": 0}
        return _ok(
            {
                "vcpus": world.vcpus,
                "records": taken,
                "clocks": {},
                "foreign": 0,
                "skipped_bytes": skipped,
                **_anchor(),
            }
        )

    def _machine_start(self, asked: dict[str, Any]) -> dict[str, Any]:
        machine = asked["machine"]
        argv = [machine["qemu"], "-append", machine["append"]]
        script = self._pair.script
        self._status = ""
        if script.dies == self._side:
            self.tell("machine-ended", returncode=1, log="out of memory")
        elif self._side == "source":
            rate = int(machine["append"].partition("rate=")[2].split()[0])
            self._world.rate_bytes_per_s = rate * script.load
            self._world.memory_bytes = machine["memory_bytes"]
            self._world.vcpus = machine["vcpus"]
            self._world.start(frozenset({"source"}))
        locked = "unlimited" if machine["locks_memory"] else 8 << 20
        return _ok({"pid": 1, "argv": argv, "user": "nobody", "memlock_bytes": locked})

    def _machine_qmp(self, asked: dict[str, Any]) -> dict[str, Any]:
        command, arguments = asked["execute"], asked.get("arguments") or {}
        self._world.note(self._side, command, "command", arguments=arguments)
        handler = self._qmp.get(command, lambda _arguments: {})
        return _ok(handler(arguments))

    def _machine_guest(self, _with: dict[str, Any]) -> dict[str, Any]:
        script, world = self._pair.script, self._world
        if script.checks:
            world.reports.append(
                {
                    "nonce": world.nonce, "seq": 1, "tsc": 1, "pages_checked": world.memory_bytes // PAGE_BYTES,
                    "pages_bad": script.pages_bad, "first_bad_address": 0x200000 if script.pages_bad else 0,
                    "work_regressed": int(script.work_regressed), "seq_regressed": 0,
                    "side": self._side, "t_ns": time.monotonic_ns(),
                }
            )  # fmt: skip
        world.move(frozenset({"destination"}), phase="check")
        return _ok(None)

    def _machine_end(self, _with: dict[str, Any]) -> dict[str, Any]:
        side = self._pair.sides.get(self._role)
        events = self._world.events[side] if side else []
        died = self._pair.script.dies == side and side is not None
        return _ok(
            {"events": events, "log": "fake", "died": died, "returncode": 1 if died else None}
        )

    def _sample_start(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._by_rdma = asked["rdma"] is not None
        self._sampling_since = time.monotonic_ns()
        return _ok(_anchor())

    def _sample_stop(self, _with: dict[str, Any]) -> dict[str, Any]:
        return _ok(None)

    def _sample_take(self, _with: dict[str, Any]) -> dict[str, Any]:
        since, self._sampling_since = self._sampling_since, 0
        samples = self._world.samples(self._side, since, self._status) if since else []
        for sample in samples if self._by_rdma else []:
            if sample["kind"] == "host":
                packets = sample["tx_bytes"] // 1024 * (not self._pair.script.rdma_silent)
                sample.update(rdma_tx_packets=packets, rdma_rx_packets=0, rdma_retries=0)
        return _ok({"samples": samples, "faults": [], **_anchor()})

    def _schedule_arm(self, _with: dict[str, Any]) -> dict[str, Any]:
        return _ok(None)

    def _schedule_run(self, asked: dict[str, Any]) -> dict[str, Any]:
        script, world = self._pair.script, self._world
        start_ns = time.monotonic_ns()
        rules = {rule["name"] for rule in asked["schedule"]["rules"]}
        fired = {"limit"} if script.status == "cancelled" else rules & {"switch"}
        progress = {"transferred_bytes": 1, "remaining_bytes": world.memory_bytes, "passes": 1}
        self.tell("progress", status="active", **progress)
        default = _BEATS_ON.get(script.status, set[str]())
        sides = frozenset(default if script.beats_on is None else script.beats_on)
        if script.status == "completed":
            self._switch(sides, postcopy="switch" in fired)
        else:
            world.move(sides)
        world.note("source", "MIGRATION", status=script.status)
        self._status = script.status
        for channel in self._pair.channels.values():
            channel.drain()
        return _ok(
            {
                "status": script.status, "start_ns": start_ns, "end_ns": time.monotonic_ns(),
                "fired": sorted(fired if script.fired is None else script.fired), "refused": [],
            }
        )  # fmt: skip

    def _switch(self, sides: frozenset[str], *, postcopy: bool) -> None:
        world = self._world
        other = self._pair.channels["b" if self._role == "a" else "a"]
        self.tell("runstate", event="STOP", t_ns=world.note("source", "STOP"))
        world.move(sides, after_ns=BLACKOUT_NS)
        time.sleep(BLACKOUT_NS / 1e9)
        if postcopy:
            world.note("source", "MIGRATION", status="postcopy-active")
            other.tell("migration", status="postcopy-active", t_ns=time.monotonic_ns())
        other.tell("runstate", event="RESUME", t_ns=world.note("destination", "RESUME"))
        world.note("destination", "MIGRATION", status="completed")

    # --- as QEMU's monitor ---

    def _set_capabilities(self, arguments: dict[str, Any]) -> dict[str, Any]:
        asked = {c["capability"]: c["state"] for c in arguments["capabilities"]}
        lost = dict.fromkeys(self._pair.script.not_in_force, False)
        self._capabilities |= asked | lost
        return {}

    def _get_capabilities(self, _arguments: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"capability": name, "state": on} for name, on in self._capabilities.items()]

    def _set_parameters(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._parameters |= arguments
        return {}

    def _query_migrate(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        ram = {"transferred": self._world.memory_bytes, "remaining": 0, "page-size": PAGE_BYTES}
        times = {"total-time": self._pair.script.total_time_ms, "downtime": 20}
        status = {"status": self._status or "setup", **times, "ram": ram}
        return {**status, "socket-address": [{"type": "inet", "port": "1"}]}


def _ok(value: Any) -> dict[str, Any]:
    return {"ok": value}


def _anchor() -> dict[str, Any]:
    return {"anchor": {"monotonic_ns": time.monotonic_ns(), "realtime_ns": time.time_ns()}}
