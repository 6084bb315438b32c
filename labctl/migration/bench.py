"""What a trial stands on: both ends and the observer, as it speaks with them, and all they have to tell."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, NoReturn

from labctl.campaign.capabilities import Capabilities
from labctl.campaign.profiles import Profile
from labctl.campaign.specs import GuestSpec
from labctl.errors import LabctlError, NodeError, NodeLost
from labctl.lab import waits as node_waits
from labctl.lab.node import heed
from labctl.lab.pair import End, Pair
from labctl.migration import waits
from labctl.migration.clocks import ObserversClock
from labctl.migration.load import command_line
from labctl.migration.raw import RawTrial
from labctl.node.beats import SIDES
from labctl.node.protocol import unpack


class Interrupted(LabctlError):  # noqa: N818 - named for what happened, as in labctl.errors
    """The run was asked to stop, or what observes it failed; the attempt has no result."""


@contextmanager
def _repeated_when_a_relay_fails() -> Iterator[None]:
    """A network that beats do not cross says nothing of the migration."""
    try:
        yield
    except NodeError as error:
        if error.code != "relay":
            raise
        raise Interrupted(error.fault, place=error.place) from None


class Bench:
    """One pair in one direction, for one trial. Every wait on it may raise Interrupted when the run was asked to stop."""

    def __init__(self, pair: Pair, direction: str, raw: RawTrial, stop: threading.Event) -> None:
        source, destination = pair.ends(direction)
        self.ends = {"source": source, "destination": destination}
        self._watch = pair.watch(direction)
        self.observer = self._watch.observer
        self.clocks = ObserversClock(one_clock=pair.one_clock)
        self.link_is_up = pair.link_is_up
        self._raw = raw
        self._stop = stop
        self._observing = False
        self._over: dict[str, Future[NoReturn]] = {side: Future() for side in SIDES}
        self._ended: dict[str, str] = {}
        self.beat_pipes: dict[str, str] = {}

    # --- to the observer ---

    def compare_clocks(self) -> None:
        """Find out how far the observer's clock is from ours; done before anything is timed."""
        self.clocks.of_controller(self.observer)

    def observe(self, nonce: int) -> None:
        """Let the observer wait for the beats of the guest with this nonce, and relays bring it those of other hosts."""
        with _repeated_when_a_relay_fails():
            watching = self._watch.begin(nonce)
        self._observing = True
        self.beat_pipes = dict(watching.pipes)
        self.anchor("observer", dict(watching.anchor))
        self.clocks.of_sides(watching.offsets)

    def beat(self, side: str, name: str, timeout_s: float, **wanted: Any) -> dict[str, Any]:
        """Wait until a side's beats are as wanted, or its QEMU ends or its node is lost; the observer's state then."""
        self._heed_stop()
        answer = self.observer.begin(
            "observe.wait", side=side, name=name, timeout_s=timeout_s, **wanted
        )
        wait_s = timeout_s + node_waits.ANSWER_GRACE_S
        with _repeated_when_a_relay_fails():
            state: dict[str, Any] = self.observer.result(
                answer, name, wait_s, unless=self._deaths(side)
            )
        return state

    def observed(self) -> dict[str, Any]:
        """What the observer knows now."""
        state: dict[str, Any] = self.observer.call("observe.state")
        return state

    def beats_now(self) -> dict[str, int]:
        """How many beats came from each side until now."""
        sides = self.observed()["sides"]
        return {side: int(sides[side]["count"]) for side in SIDES}

    def watch(self, seconds: float) -> None:
        """Let the guest be observed for a while."""
        if self._stop.wait(seconds):
            self._heed_stop()

    # --- to the machines ---

    def boot(
        self,
        guest: GuestSpec,
        nonce: int,
        *,
        profile: Profile | None = None,
        qemu: str | None = None,
        dirty_ring: bool = False,
        locks_memory: bool = False,
    ) -> None:
        """Start both QEMUs (the lab's own, or those of a path), the destination's waiting for the migration."""
        needs = {"dirty_ring": dirty_ring, "locks_memory": locks_memory}
        capabilities = {side: end.capabilities.of(qemu) for side, end in self.ends.items()}
        append = command_line(guest, profile or Profile(), nonce)
        starting = {
            side: end.node.begin(
                "machine.start",
                machine=self._machine(side, capabilities[side], guest, append) | needs,
                timeout_s=waits.START_S,
            )
            for side, end in self.ends.items()
        }
        for side, end in self.ends.items():
            wait_s = waits.START_S + node_waits.ANSWER_GRACE_S
            started = end.node.result(starting[side], "QEMU's start", wait_s)
            caps = capabilities[side]
            self._raw.qemu[side] = {
                "host": end.host,
                "version": caps.qemu_version,
                "path": caps.qemu_path,
                "machine_type": caps.machine_type,
                "accelerator": caps.accelerator,
                **started,
            }

    def qmp(self, side: str, execute: str, /, **arguments: Any) -> Any:
        """One QMP command on a side."""
        return self.ends[side].node.call(
            "machine.qmp",
            wait_s=waits.QMP_S + node_waits.ANSWER_GRACE_S,
            execute=execute,
            arguments=arguments,
            timeout_s=waits.QMP_S,
        )

    def find_rdma(self) -> None:
        """Note the RDMA ports that the migration will use, and what they have counted."""
        for side in SIDES:
            port = self._rdma_port(side)
            if port is not None:
                self._raw.rdma[side] = {**port, "counters_before": port["counters"]}
                self._raw.rdma[side].pop("counters")

    def sample(self) -> None:
        """Let both sides sample until `stop_sampling` or `collect`, and note the link's counters before."""
        self._raw.link["counters_before"] = self._counters()
        for side, end in self.ends.items():
            port = self._raw.rdma.get(side)
            self.anchor(side, end.node.call("sample.start", interface=end.interface, rdma=port))

    def stop_sampling(self) -> None:
        """Let both sides sample no more: what is done from here on is not measured, and a slow host has enough to do with it."""
        stopping = [(end.node, end.node.begin("sample.stop")) for end in self.ends.values()]
        for node, answer in stopping:
            node.result(answer, "the end of sampling", node_waits.QUESTION_S)

    def heard(self, side: str, event: str, said: dict[str, Any]) -> None:
        """A node tells that its QEMU ended by itself, or its guest gave up: nobody needs to wait for its beats any more."""
        if event == "machine-ended":
            # What it printed before is not what it died of; all of it stands in its log.
            last = (said.get("log") or "").strip().splitlines()[-1:]
            words = f": {last[0]}" if last else ""
            self._ended[side] = f"its QEMU ended with status {said.get('returncode')}{words}"
            self._over_with(side, self._ended[side], "qemu-died")
        elif event == "guest-gave-up":
            self._over_with(side, f"the guest gave up: {said['words']}", "guest-gave-up")

    def _over_with(self, side: str, fault: str, code: str) -> None:
        if not self._over[side].done():
            place = f"node {self.ends[side].node.name}"
            self._over[side].set_exception(NodeError(fault, code=code, place=place))

    def heed_deaths(self) -> None:
        """Go on only while both QEMUs, their nodes and the guest are there. NodeError with what became of one that is not."""
        heed(chain.from_iterable(map(self._deaths, SIDES)))

    def _deaths(self, side: str) -> tuple[Future[NoReturn], ...]:
        """What ends a wait for a side's beats: they fail when its QEMU, its guest or its node are no more."""
        return self._over[side], self.ends[side].node.over

    @property
    def ended(self) -> dict[str, str]:
        """The sides whose QEMU has ended by itself, and its last words."""
        return dict(self._ended)

    def anchor(self, side: str, reply: dict[str, Any]) -> None:
        """Keep the clock anchor of a reply."""
        self._raw.clocks.setdefault(side, []).append(reply["anchor"])

    # --- at the end ---

    def collect(self) -> list[LabctlError]:
        """End both machines and collect what they and the observer have seen. Raises nothing: what could not be
        had is noted in the raw trial, and its faults are returned.
        """
        faults: list[LabctlError] = []
        for node in (self.observer, *(end.node for end in self.ends.values())):
            node.on_event = None
        steps: list[tuple[str, Callable[[], None]]] = [
            ("the link's counters", self._collect_counters)
        ]
        for side in SIDES:
            steps.append((f"the {side}'s samples", partial(self._collect_samples, side)))
            steps.append((f"the {side}'s events", partial(self._collect_machine, side)))
        steps.append(("the beats", self._collect_beats))
        steps += [
            ("a relay", partial(relay.call, "relay.stop")) for relay in self._watch.relays.values()
        ]
        for what, step in steps:
            try:
                step()
            except LabctlError as fault:
                faults.append(fault)
                self._raw.not_collected.append(f"{what}: {fault.fault}")
        self._raw.offsets = self.clocks.as_dict()
        self._raw.events.sort(key=lambda e: self.clocks.on_observer(e["side"], int(e["t_ns"])))
        return faults

    def _collect_counters(self) -> None:
        if "counters_before" in self._raw.link:
            self._raw.link["counters_after"] = self._counters()
        for side, said in self._raw.rdma.items():
            said["counters_after"] = (self._rdma_port(side) or {}).get("counters")

    def _collect_samples(self, side: str) -> None:
        taken = self.ends[side].node.call("sample.take", wait_s=node_waits.TRANSFER_S)
        self.anchor(side, taken)
        self._raw.samples += [{**sample, "side": side} for sample in taken["samples"]]
        self._raw.not_collected += [f"a sample of the {side}: {said}" for said in taken["faults"]]

    def _collect_machine(self, side: str) -> None:
        wait_s = waits.END_S + node_waits.TRANSFER_S
        ended = self.ends[side].node.call("machine.end", wait_s=wait_s)
        self._raw.events += [{**event, "side": side} for event in ended["events"]]
        self._raw.logs[side] = ended["log"]
        if ended["died"] and side in self._raw.qemu:
            self._raw.qemu[side]["died_with_status"] = ended["returncode"]

    def _collect_beats(self) -> None:
        if not self._observing:
            return
        taken = self.observer.call("observe.take", wait_s=node_waits.TRANSFER_S)
        self.anchor("observer", taken)
        self.clocks.of_sides(taken["clocks"])
        self._raw.beats = unpack(taken["records"])
        self._raw.vcpus = taken["vcpus"] or self._raw.vcpus
        self._raw.guest["beats_skipped_bytes"] = taken["skipped_bytes"]

    # --- helpers ---

    def _heed_stop(self) -> None:
        if self._stop.is_set():
            raise Interrupted("the run was asked to stop")

    def _rdma_port(self, side: str) -> dict[str, Any] | None:
        end = self.ends[side]
        port: dict[str, Any] | None = end.node.call("rdma.port", interface=end.interface)
        return port

    def _counters(self) -> dict[str, Any]:
        return {
            side: end.node.call("link.describe", interface=end.interface)
            for side, end in self.ends.items()
        }

    def _machine(
        self, side: str, caps: Capabilities, guest: GuestSpec, append: str
    ) -> dict[str, Any]:
        end: End = self.ends[side]
        return {
            "name": side,
            "qemu": caps.qemu_path,
            "machine_type": caps.machine_type,
            "accelerator": caps.accelerator,
            "vcpus": guest.vcpus,
            "memory_bytes": guest.memory_bytes,
            "kernel": end.kernel,
            "append": append,
            "beats_pipe": self.beat_pipes[side],
            "incoming": side == "destination",
            **end.run_as,
        }


def lost(faults: list[LabctlError]) -> NodeLost | None:
    """The node that was lost, if one was."""
    return next((fault for fault in faults if isinstance(fault, NodeLost)), None)
