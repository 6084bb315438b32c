"""Looks at what the kernel lets us do. What can be tried is tried, in a namespace that ends with the trial."""

import ctypes
import os
from pathlib import Path

from labctl.doctor.check import Missing, ask, root_prefix

USERFAULTFD = 323  # the system call's number on x86-64
USERFAULTFD_SYSCTL = Path("/proc/sys/vm/unprivileged_userfaultfd")
USERFAULTFD_DEVICE = Path("/dev/userfaultfd")
KVM = Path("/dev/kvm")

# Run by sh in a fresh network namespace: it goes away with the shell, and with it all that is made here.
VETH = "ip link add d0 type veth peer name d1"
TBF = f"{VETH} && tc qdisc add dev d0 root tbf rate 1gbit burst 256kb latency 50ms"


def root() -> str:
    """How root is had."""
    prefix = root_prefix()
    return "sudo, without a password" if prefix else "root"


def namespaces() -> str:
    """Make a veth pair in a namespace of its own."""
    _in_namespace(VETH)
    return "a veth pair was made in a namespace"


def shaping() -> str:
    """Shape a link to 1 Gbit/s."""
    _in_namespace(TBF)
    return "a link was shaped to 1 Gbit/s"


def _in_namespace(script: str) -> None:
    path = "PATH=$PATH:/usr/sbin:/sbin"
    ask(*root_prefix(), "unshare", "--net", "sh", "-c", f"{path}; {script}")


def userfaultfd() -> str:
    """Who may use userfaultfd, found out by a call where it can be."""
    setting = USERFAULTFD_SYSCTL.read_text().strip() if USERFAULTFD_SYSCTL.exists() else "absent"
    seen = f"vm.unprivileged_userfaultfd={setting}"
    if USERFAULTFD_DEVICE.exists():
        seen += f", {USERFAULTFD_DEVICE} is there"
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor >= 0:
        os.close(descriptor)
        return f"allowed for this user; {seen}"
    why = os.strerror(ctypes.get_errno())
    if os.geteuid() == 0:
        raise Missing(f"refused to root: {why}; {seen}")
    root_prefix()  # a plain user is refused by default: the agent, which is root, decides
    return f"for root only; {seen}"


def accelerator() -> str:
    """Whether there is a KVM to try. That it works is tried at the start of a run."""
    if not KVM.exists():
        return f"no {KVM}: TCG will be used"
    if not os.access(KVM, os.R_OK | os.W_OK) and os.geteuid() != 0:
        return f"{KVM} is there, for root; a run tries it"
    return f"{KVM} is there; a run tries it"
