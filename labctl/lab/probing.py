"""Ask a host's QEMU what it can do, and put the answer into the planner's terms."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from labctl.campaign.asked import asked_words
from labctl.campaign.capabilities import Capabilities
from labctl.campaign.cells import Cell
from labctl.campaign.rules import first_refusal
from labctl.errors import NodeError
from labctl.lab import waits
from labctl.lab.node import Node
from labctl.node.rdma import ACTIVE

DEFAULT_QEMU = "qemu-system-x86_64"
DEFAULT_MACHINE = "pc"


Accelerators = dict[str | None, dict[str, Any]]
"""By QEMU, None being the lab's own: what its accelerators were found to do."""


@dataclass(frozen=True)
class Questions:
    """What a lab is opened for: the QEMUs of a campaign, and what each of them is asked."""

    combinations: tuple[tuple[str, ...], ...] = ()
    """words that are asked for together: `multifd`, `multifd-compression=zstd`"""
    qemus: tuple[str, ...] = ()
    """paths of QEMUs beside the lab's own"""

    @classmethod
    def about(cls, cells: Iterable[Cell]) -> Self:
        """What has to be asked before these cells can be planned."""
        # A cell that no lab could run is not asked about: QEMU's refusal of its options would speak of others too.
        runnable = [cell for cell in cells if first_refusal(cell, None, None) is None]
        asked = {tuple(sorted(asked_words(cell))) for cell in runnable}
        return cls(
            combinations=tuple(sorted(asked | {("postcopy-ram",)})),
            qemus=tuple(sorted({cell.qemu for cell in runnable if cell.qemu})),
        )


NO_QUESTIONS = Questions()


def probe_host(
    node: Node,
    variables: dict[str, Any],
    kernel: str,
    questions: Questions,
    accelerators: Accelerators,
    interface: str | None = None,
) -> tuple[Capabilities, dict[str, Any]]:
    """A host's capabilities with each QEMU, and all it said. `interface`: that migrations cross.

    `labctl_qemu` and `labctl_machine` of the inventory say which QEMU and machine type are the lab's own; another QEMU has
    the machine type of its own version. `accelerators`: what another node on the same host has found, so that it is not tried
    twice; what is found here is added.
    """
    own = str(variables.get("labctl_qemu", DEFAULT_QEMU))
    machine = str(variables.get("labctl_machine", DEFAULT_MACHINE))
    asking = _Asking(node, kernel, questions, accelerators, interface)
    capabilities, said = asking.of(own, machine, None)
    others: dict[str, Capabilities] = {}
    for qemu in questions.qemus:
        try:
            others[qemu], said_too = asking.of(qemu, DEFAULT_MACHINE, qemu)
        except NodeError as error:
            # Cells that need it are refused with this reason; the others run.
            others[qemu] = capabilities.model_copy(update={"missing": error.fault})
            said_too = {"missing": error.fault}
        for same in ("host", "rdma_port"):
            said_too.pop(same, None)
        said.setdefault("qemus", {})[qemu] = said_too
    return capabilities.model_copy(update={"others": others}), said


@dataclass(frozen=True)
class _Asking:
    """What every QEMU of a host is asked with."""

    node: Node
    kernel: str
    questions: Questions
    accelerators: Accelerators
    interface: str | None

    def of(self, qemu: str, machine: str, key: str | None) -> tuple[Capabilities, dict[str, Any]]:
        """One QEMU of the host; `key`: in `accelerators`."""
        if key not in self.accelerators:
            self.accelerators[key] = self.node.call(
                "qemu.accelerators",
                wait_s=waits.PROBE_S,
                qemu=qemu,
                machine_type=machine,
                kernel=self.kernel,
            )
        found = self.accelerators[key]
        said: dict[str, Any] = self.node.call(
            "qemu.probe",
            wait_s=waits.PROBE_S,
            qemu=qemu,
            machine_type=machine,
            combinations=[list(words) for words in self.questions.combinations],
            accelerator=found["chosen"],
            interface=self.interface,
        )
        said["accelerators"] = found
        rdma_fault = self._rdma_fault(said)
        capabilities = Capabilities(
            host=said["host"]["hostname"],
            qemu_version=said["version"],
            qemu_path=said["path"],
            accelerator=found["chosen"],
            machine_type=said["machine_type"],
            migration_capabilities=said["capabilities"],
            refused=said["refused"],
            userfaultfd=said["userfaultfd"],
            memory_available_bytes=said["memory_available_bytes"],
            cpus=said["cpus"],
            netem_refused=said["netem_refused"],
            rdma=rdma_fault is None,
            rdma_provider=said["rdma_port"]["provider"] if said["rdma_port"] else None,
            rdma_fault=rdma_fault,
        )
        return capabilities, said

    def _rdma_fault(self, said: dict[str, Any]) -> str | None:
        """Why a QEMU cannot migrate by RDMA; None where it can."""
        port = said["rdma_port"]
        if port is None:
            return f"no RDMA device belongs to {self.interface or 'its interface'}"
        if port["state"] != ACTIVE:
            return f"port {port['port']} of {port['device']} is {port['state']}"
        return None if said["rdma"] else f"QEMU {said['version']} was built without RDMA"
