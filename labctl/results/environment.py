"""environment.json: what its keys mean, and what differs between two of them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from labctl.node.describe import KEYS as HOST_KEYS
from labctl.node.describe.keys import Key, below

END: Final = "pairs.<name>.ends.<name>"

RUN_KEYS: Final = (
    Key("controller.python", "text", "what the controller runs on"),
    Key("controller.platform", "text", "its system"),
    Key("controller.packages.<name>", "text", "versions of labctl and of what a figure may depend on"),
    Key("lab", "text", "the lab's name"),
    Key("inventory", "text", "what `--lab` finds it by; a run that is resumed goes on there", varies=True),
    Key("pairs.<name>.shared_host", "bool", "whether another run was on its hosts"),
)  # fmt: skip
END_KEYS: Final = (
    Key("address", "text", "where migrations reach it"),
    Key("interface", "text", "the interface that they cross"),
    Key("link.*", "object", "of a host that is reached over SSH: how that interface was found"),
    Key("clock.ahead_of_controller_ms", "float", "of a host that is reached over SSH: its time of day less the controller's", varies=True),
    Key("clock.uncertainty_ms", "float", "within what that is right", varies=True),
    Key("agent_sent_bytes", "int", "of the agent, when it had to be sent", varies=True),
    Key("guest_sha256", "text", "of the built-in guest"),
    Key("path", "text", "of the lab's own QEMU"),
    Key("version", "text", "its version"),
    Key("package", "text", "what its packager calls it"),
    Key("build.sha256", "text", "of the file that runs, also where `path` is a script that starts it"),
    Key("build.size_bytes", "int", "of that file"),
    Key("build.accelerators", "list of text", "those that were compiled into it"),
    Key("machine_type", "text", "the machine type, with its version"),
    Key("capabilities", "list of text", "the migration capabilities that it knows"),
    Key("parameters.*", "object", "the migration parameters that it begins with"),
    Key("refused.<name>", "text", "what it refuses together, at which end, and its words"),
    Key("accelerators.<name>.works", "bool", "whether the built-in guest was seen to run"),
    Key("accelerators.<name>.reason", "text", "why not, or why it is not chosen"),
    Key("accelerators.<name>.first_beat_ms", "float", "from QEMU's start to the guest's first beat", varies=True),
    Key("accelerators.<name>.write_bytes_per_s", "int", "what one vCPU wrote as fast as it could", varies=True),
    Key("accelerators.chosen", "text", "what machines run with"),
    Key("memory_available_bytes", "int", "what machines may have", varies=True),
    Key("cpus", "int", "processors that the agent may run on"),
    Key("rdma", "bool", "whether the lab's own QEMU was built with RDMA; before there was `rdma_port`: whether there is a device"),
    Key("rdma_port.device", "text", "the RDMA device that belongs to the interface; null where there is none"),
    Key("rdma_port.port", "int", "the number of its port"),
    Key("rdma_port.provider", "text", "its driver; `rxe` and `siw` are the kernel's own, in software"),
    Key("rdma_port.link_layer", "text", "`Ethernet` or `InfiniBand`"),
    Key("rdma_port.state", "text", "`ACTIVE`, `DOWN` ..."),
    Key("rdma_port.mtu_bytes", "int", "its active MTU"),
    Key("rdma_port", "object", "null where no RDMA device belongs to the interface"),
    Key("netem_refused", "text", "what the kernel says when it is asked to delay packets; null: it does"),
    Key("userfaultfd", "bool", "whether QEMU may use it, which postcopy needs"),
    Key("qemus.<name>.*", "object", "the same of each QEMU beside the lab's own that the campaign uses"),
    Key("qemus.<name>.missing", "text", "or why it could not be asked"),
)  # fmt: skip
KEYS: Final = (*RUN_KEYS, *below(END, END_KEYS), *below(f"{END}.host", HOST_KEYS))
"""Every key of environment.json but `schema_version`."""

Path = tuple[str, ...]

_VARYING: Final = [key for key in KEYS if key.varies]
_AT: Final = len(END.split("."))
"""Where, in the path of a leaf, that of an end is over."""

# The first runs of version 1 had a flat description of a host.
_OLD_NAMES: Final[dict[str, str]] = {
    "kernel": "kernel.release", "kernel_command_line": "kernel.command_line", "cpu": "cpu.model",
    "microcode": "cpu.microcode", "cpus": "cpu.usable", "load_average": "cpu.load_average",
    "memory_bytes": "memory.total_bytes", "memory_available_bytes": "memory.available_bytes",
    "python": "agent.python", "uid": "agent.uid", "anchor": "clock.anchor",
    "transparent_hugepage": "memory.transparent_hugepages.enabled",
    "unprivileged_userfaultfd": "memory.userfaultfd.unprivileged",
}  # fmt: skip
_OLD_VALUES: Final[dict[str, Callable[[Any], Any]]] = {
    # of a list, the word in brackets
    "transparent_hugepage": lambda text: str(text).partition("[")[2].partition("]")[0],
    "unprivileged_userfaultfd": lambda text: {"0": False, "1": True}.get(str(text)),
}


class Difference(NamedTuple):
    """One leaf that two environments do not have in common; None where one has none."""

    path: str
    left: Any
    right: Any


def differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Difference]:
    """What differs between two environments, by path.

    Left out is what differs from one moment to the next on the same hosts: anchors, loads, free memory. What is null and
    what is absent are the same. Lists are compared whole.
    """
    ours, theirs = dict(_leaves(left)), dict(_leaves(right))
    return [
        Difference(".".join(path), ours.get(path), theirs.get(path))
        for path in sorted(ours.keys() | theirs.keys())
        if ours.get(path) != theirs.get(path)
    ]


def _leaves(environment: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """What is compared, by path."""
    for path, value in flat(environment):
        # Another QEMU's answers have the names of the lab's own; the host is described once more with them.
        within = path[:_AT] + path[_AT + 2 :] if path[_AT : _AT + 1] == ("qemus",) else path
        again = within != path and within[_AT : _AT + 1] == ("host",)
        if not again and not any(key.names(within) for key in _VARYING):
            yield path, value


def flat(data: Mapping[str, Any], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The leaves of an environment, by path; those of an old description of a host by the names that they have now."""
    of_a_host = len(above) == _AT + 1 and (above[0], above[_AT]) == ("pairs", "host")
    for name, value in data.items():
        old = of_a_host and name in _OLD_NAMES and (name == "anchor" or not _holds(value))
        path = (*above, *_OLD_NAMES[name].split(".")) if old else (*above, name)
        if _holds(value):
            yield from flat(value, path)
        else:
            yield path, _OLD_VALUES[name](value) if old and name in _OLD_VALUES else value


def _holds(value: Any) -> bool:
    return isinstance(value, Mapping)
