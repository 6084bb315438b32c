"""A pair of real hosts, reached over SSH.

Two agents on each hypervisor over one connection: one holds the host's lock, its machine and its end of the link; the other
hears the beats of its guest, as the observer or as a relay to it. A host of the group `observers` has one agent a pair.
"""

from dataclasses import dataclass, field
from functools import partial

from labctl.campaign.capabilities import Capabilities
from labctl.errors import LabError
from labctl.guest.build import guest_image, guest_sha256
from labctl.lab import waits
from labctl.lab.child import caller
from labctl.lab.clocks import compared
from labctl.lab.inventory import LabSpec
from labctl.lab.node import Node
from labctl.lab.pair import End, Pair
from labctl.lab.pairing import PairSpec
from labctl.lab.probing import Questions, probe_host
from labctl.lab.ssh import RemoteHost, Sudo
from labctl.lab.together import do_together
from labctl.node.protocol import pack


@dataclass(frozen=True)
class RemoteOpener:
    """Opens one pair of a lab of real hosts for one run."""

    spec: LabSpec
    pair: PairSpec
    run: str
    share: bool
    lock: bool
    questions: Questions
    sudo: Sudo

    def __call__(self) -> Pair:
        """Reach the hosts, side by side, and start the nodes."""
        opening = _Opening(self)
        try:
            return opening.pair()
        except BaseException:
            opening.close()
            raise


@dataclass
class _Opening:
    """What has been opened so far."""

    of: RemoteOpener
    hosts: list[RemoteHost] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)

    def pair(self) -> Pair:
        """The pair, whole."""
        wanted = self.of.pair
        a, b = do_together({name: partial(self._end, name) for name in (wanted.a, wanted.b)})
        agree(a, b)
        observer = observer_address = None
        if wanted.observer is not None:
            host = self._host(wanted.observer)
            observer = self._node(host, f"observer-{wanted.name}")
            self._hello(observer, lock=False)
            observer_address = _address(host)
        return Pair(
            wanted.name,
            a,
            b,
            observer,
            observer_address,
            shared_host=any(end.node.hello["shared_host"] for end in (a, b)),
            hang_up=self._hang_up,
        )

    def close(self) -> None:
        """Close all of it."""
        for node in list(self.nodes):
            node.close()
        self._hang_up()

    def _hang_up(self) -> None:
        for host in list(self.hosts):
            host.close()

    def _end(self, name: str) -> End:
        host = self._host(name)
        node, beats = self._node(host, "host"), self._node(host, "beats")
        self._hello(node, lock=self.of.lock)
        self._hello(beats, lock=False)
        variables = host.variables
        link = node.call(
            "link.find",
            interface=variables.get("labctl_migration_interface"),
            address=variables.get("labctl_migration_address"),
            management=host.management,
        )
        alone = not link["carries_management"]
        if alone:
            node.call("link.keep", interface=link["interface"])
        image = guest_image()
        kernel = node.call("file.put", name="guest.elf", data=pack(image.read_bytes()))["path"]
        run_as = node.call("host.trial_user", name=variables.get("labctl_user"))
        capabilities, probe = probe_host(
            node, dict(variables), kernel, self.of.questions, {}, link["interface"]
        )
        clock = compared(node)
        probe["clock"] = {
            "ahead_of_controller_ms": clock.realtime_ns / 1e6,
            "uncertainty_ms": clock.uncertainty_ns / 1e6,
        }
        probe |= {
            "guest_sha256": guest_sha256(image),
            "link": link,
            "agent_sent_bytes": host.sent_bytes,
        }
        return End(
            name,
            node,
            link["interface"],
            link["address"],
            kernel,
            capabilities.with_each(
                host=name, shapeable=alone, fixed_mtu=None if alone else link["mtu"]
            ),
            probe,
            run_as=run_as,
            beats=beats,
            management=_address(host),
        )

    def _host(self, name: str) -> RemoteHost:
        host = RemoteHost(name, self.of.spec, self.of.run, self.of.sudo)
        self.hosts.append(host)
        host.open()
        return host

    def _node(self, host: RemoteHost, role: str) -> Node:
        node = host.start(role)
        self.nodes.append(node)
        return node

    def _hello(self, node: Node, *, lock: bool) -> None:
        node.hello = node.call(
            "hello", wait_s=waits.HELLO_S, lock=lock, share=self.of.share, user=caller()["user"]
        )


def agree(a: End, b: End) -> None:
    """See that the QEMUs of two ends have the same machine type, without which no migration between them succeeds.

    Raises LabError where the lab's own have not; another QEMU that has not counts as missing.
    """
    disagreement = _disagreement(a, b, a.capabilities, b.capabilities)
    if disagreement:
        raise LabError(
            disagreement,
            place=f"{a.host}, {b.host}",
            mend="install the same QEMU on both, or name a machine type that both have: labctl_machine",
        )
    others = a.capabilities.others.keys() & b.capabilities.others.keys()
    for qemu in others:
        disagreement = _disagreement(a, b, *(end.capabilities.of(qemu) for end in (a, b)))
        if disagreement:
            for end in (a, b):
                missing = end.capabilities.of(qemu).model_copy(update={"missing": disagreement})
                end.capabilities = end.capabilities.model_copy(
                    update={"others": {**end.capabilities.others, qemu: missing}}
                )


def _disagreement(a: End, b: End, of_a: Capabilities, of_b: Capabilities) -> str | None:
    if of_a.missing or of_b.missing or of_a.machine_type == of_b.machine_type:
        return None
    said = (
        f"QEMU {of_it.qemu_version} at {end.host} has {of_it.machine_type}"
        for end, of_it in ((a, of_a), (b, of_b))
    )
    return f"the machine types differ: {', '.join(said)}"


def _address(host: RemoteHost) -> str:
    """Where the lab's other hosts find it."""
    address = str(host.variables.get("labctl_address", host.management))
    if not address:
        raise LabError(
            "its address is not known: SSH does not say it",
            place=host.name,
            mend="set labctl_address to its address for the lab's other hosts",
        )
    return address
