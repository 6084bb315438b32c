"""Ask a host's QEMU what it can do, and put the answer into the planner's terms."""

from typing import Any

from labctl.campaign.capabilities import Capabilities
from labctl.lab import waits
from labctl.lab.node import Node

DEFAULT_QEMU = "qemu-system-x86_64"
DEFAULT_MACHINE = "pc"


def probe_host(
    node: Node,
    variables: dict[str, Any],
    kernel: str,
    combinations: tuple[tuple[str, ...], ...],
    *,
    accelerators: dict[str, Any] | None = None,
) -> tuple[Capabilities, dict[str, Any]]:
    """A host's capabilities, and all it said.

    `labctl_qemu` and `labctl_machine` of the inventory say which QEMU and machine type.
    `accelerators`: what another node on the same host has found, so that it is not tried twice.
    """
    qemu = str(variables.get("labctl_qemu", DEFAULT_QEMU))
    machine = str(variables.get("labctl_machine", DEFAULT_MACHINE))
    said: dict[str, Any] = node.call(
        "qemu.probe",
        wait_s=waits.PROBE_S,
        qemu=qemu,
        machine_type=machine,
        combinations=[list(names) for names in combinations],
    )
    said["accelerators"] = accelerators or node.call(
        "qemu.accelerators",
        wait_s=waits.PROBE_S,
        qemu=qemu,
        machine_type=said["machine_type"],
        kernel=kernel,
    )
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
