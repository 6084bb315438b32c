"""The checks of `labctl doctor`, in the order they are printed: programs, kernel, room."""

from labctl.doctor import kernel, programs, room
from labctl.doctor.check import Check, Look

PROVISION = "labctl lab provision local"

CHECKS: tuple[Check, ...] = (
    Look(
        "qemu",
        "QEMU for x86-64",
        "A trial is a migration between two real QEMU machines.",
        PROVISION,
        programs.qemu,
    ),
    Look(
        "tools",
        "ip, tc, unshare, setpriv",
        "The embedded lab's hosts are network namespaces; QEMU ends with the agent that started it.",
        PROVISION,
        programs.tools,
    ),
    Look(
        "guest",
        "the built-in guest",
        "Every trial migrates it. The package's build compiles it; it is compiled again when its sources changed.",
        "apt-get install gcc binutils, then install labctl again (make setup)",
        programs.guest,
    ),
    Look(
        "root",
        "root, or sudo",
        "Network namespaces, links and their shaping need it; one agent per host runs with it.",
        "run as root, or let this user sudo",
        kernel.root,
    ),
    Look(
        "namespaces",
        "network namespaces and veth",
        "The two hosts of the embedded lab, and the link between them.",
        "use a kernel with CONFIG_NET_NS and CONFIG_VETH; in a container, grant CAP_NET_ADMIN and CAP_SYS_ADMIN",
        kernel.namespaces,
    ),
    Look(
        "shaping",
        "the token bucket filter (sch_tbf)",
        "It gives the link the bandwidth that the campaign asks for.",
        "modprobe sch_tbf, or use a kernel with CONFIG_NET_SCH_TBF",
        kernel.shaping,
    ),
    Look(
        "userfaultfd",
        "userfaultfd",
        "Postcopy receives pages through it: without it, postcopy and hybrid trials are unsupported.",
        "sysctl vm.unprivileged_userfaultfd=1, or run as root; in a container, allow the system call",
        kernel.userfaultfd,
    ),
    Look(
        "accelerator",
        "an accelerator",
        "KVM is used where the guest boots and beats in it, faster than under QEMU's own emulation (TCG).",
        "none needed: TCG works, more slowly",
        kernel.accelerator,
    ),
    Look(
        "memory",
        "available memory",
        "Both machines of a trial stand on this host: twice the guest's memory, and some for the tools.",
        "end other programs, or give the campaign's guest less memory",
        room.memory,
    ),
    Look(
        "live",
        "/run for live state",
        "A run keeps there what it started, so that `labctl lab clean` can find what a dead one left.",
        "run as root, or let this user sudo; in a container, mount a tmpfs on /run",
        room.live,
    ),
    Look(
        "disk",
        "room for results",
        "A quickstart's results take some tens of megabytes, under runs/ or what --out names.",
        "free some space, or put results elsewhere with --out",
        room.disk,
    ),
)
