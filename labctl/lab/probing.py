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
) -> tuple[Capabilities, dict[str, Any]]:
    """A host's capabilities with each QEMU, and all it said.

    `labctl_qemu` and `labctl_machine` of the inventory say which QEMU and machine type are the lab's own; another QEMU has
    the machine type of its own version. `accelerators`: what another node on the same host has found, so that it is not tried
    twice; what is found here is added.
    """
    own = str(variables.get("labctl_qemu", DEFAULT_QEMU))
    machine = str(variables.get("labctl_machine", DEFAULT_MACHINE))
    capabilities, said = _probe(node, own, machine, kernel, questions, accelerators, None)
    others: dict[str, Capabilities] = {}
    for qemu in questions.qemus:
        try:
            others[qemu], said_too = _probe(
                node, qemu, DEFAULT_MACHINE, kernel, questions, accelerators, qemu
            )
        except NodeError as error:
            # Cells that need it are refused with this reason; the others run.
            others[qemu] = capabilities.model_copy(update={"missing": error.fault})
            said_too = {"missing": error.fault}
        said_too.pop("host", None)  # it is the same
        said.setdefault("qemus", {})[qemu] = said_too
    return capabilities.model_copy(update={"others": others}), said


def _probe(
    node: Node,
    qemu: str,
    machine: str,
    kernel: str,
    questions: Questions,
    accelerators: Accelerators,
    key: str | None,
) -> tuple[Capabilities, dict[str, Any]]:
    """One QEMU of a host."""
    if key not in accelerators:
        accelerators[key] = node.call(
            "qemu.accelerators",
            wait_s=waits.PROBE_S,
            qemu=qemu,
            machine_type=machine,
            kernel=kernel,
        )
    said: dict[str, Any] = node.call(
        "qemu.probe",
        wait_s=waits.PROBE_S,
        qemu=qemu,
        machine_type=machine,
        combinations=[list(words) for words in questions.combinations],
        accelerator=accelerators[key]["chosen"],
    )
    said["accelerators"] = accelerators[key]
    capabilities = Capabilities(
        host=said["host"]["hostname"],
        qemu_version=said["version"],
        qemu_path=said["path"],
        accelerator=said["accelerators"]["chosen"],
        machine_type=said["machine_type"],
        migration_capabilities=said["capabilities"],
        refused=said["refused"],
        userfaultfd=said["userfaultfd"],
        memory_available_bytes=said["memory_available_bytes"],
        cpus=said["cpus"],
        rdma=said["rdma"],
    )
    return capabilities, said
