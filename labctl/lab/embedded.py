"""The embedded lab: this machine is both hosts of its one pair.

Three agents: one in each of two network namespaces, joined by a veth pair, and an observer beside them that holds the
host's lock and takes the beats of both, so that one clock sees everything and the beats never cross the shaped link.
"""

from dataclasses import dataclass
from typing import Any

from labctl.guest.build import guest_image, guest_sha256
from labctl.lab import waits
from labctl.lab.child import ChildChannel, caller
from labctl.lab.inventory import LabSpec
from labctl.lab.node import Node
from labctl.lab.pair import End, Pair
from labctl.lab.probing import Accelerators, Questions, probe_host
from labctl.node.protocol import pack

INTERFACE = "lab0"
ADDRESSES = {"a": "192.0.2.1", "b": "192.0.2.2"}
"""of TEST-NET-1: documentation addresses, which nobody has"""


@dataclass(frozen=True)
class EmbeddedOpener:
    """Opens the embedded lab's pair for one run."""

    spec: LabSpec
    run: str
    share: bool
    lock: bool
    questions: Questions

    def __call__(self) -> Pair:
        """Start the three nodes and join them."""
        nodes: list[Node] = []
        try:
            return self._open(nodes)
        except BaseException:
            for node in nodes:
                node.close()
            raise

    def _open(self, nodes: list[Node]) -> Pair:
        who = caller()
        observer = self._start("observer", nodes, own_network=False)
        shared = self._hello(observer, lock=self.lock)["shared_host"]
        a = self._start("a", nodes, own_network=True)
        b = self._start("b", nodes, own_network=True)
        for node in (a, b):
            self._hello(node, lock=False)
        a.call("link.make", interface=INTERFACE, peer_pid=b.hello["pid"])
        image = guest_image()
        kernel = observer.call("file.put", name="guest.elf", data=pack(image.read_bytes()))["path"]
        variables = self.spec.variables.get(self.spec.hypervisors[0], {})
        ends = {}
        accelerators: Accelerators = {}
        for name, node in (("a", a), ("b", b)):
            capabilities, probe = probe_host(
                node, variables, kernel, self.questions, accelerators, INTERFACE
            )
            # On a veth pair the kernel copies what zero-copy was asked for.
            capabilities = capabilities.with_each(zero_copy=False)
            probe["guest_sha256"] = guest_sha256(image)
            ends[name] = End(
                name,
                node,
                INTERFACE,
                ADDRESSES[name],
                kernel,
                capabilities,
                probe,
                assigned=f"{ADDRESSES[name]}/30",
                run_as={"uid": who["uid"], "gid": who["gid"]},
            )
        return Pair("a-b", ends["a"], ends["b"], observer, shared_host=shared, one_clock=True)

    def _start(self, role: str, nodes: list[Node], *, own_network: bool) -> Node:
        patience = self.spec.patience
        channel = ChildChannel(self.run, role, own_network=own_network, patience=patience)
        node = Node(role, channel, patience)
        nodes.append(node)
        return node

    def _hello(self, node: Node, *, lock: bool) -> dict[str, Any]:
        node.hello = node.call(
            "hello", wait_s=waits.HELLO_S, lock=lock, share=self.share, user=caller()["user"]
        )
        return node.hello
