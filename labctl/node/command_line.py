"""QEMU's command line, and as whom it is started."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple

from .protocol import RequestError

TCG_PADDING_BYTES = 8192
"""Added to a machine's memory under TCG. QEMU before 9.0 loses writes during precopy under TCG where a RAM block is a
multiple of 64 pages: its bitmap sync then takes a path that clears dirty bits and leaves the TLB (QEMU commit 03bfc2188f;
the memory check found pages up to 0.7 s old). An odd size takes the other path. Smallest step QEMU keeps."""
DIRTY_RING_ENTRIES = 4096
"""Of each vCPU: QEMU's own example."""
PROVISIONED_USER = "labctl"
_BEATS_FDSET = 1

Spec = dict[str, Any]
"""Of a machine: ``name qemu machine_type accelerator vcpus memory_bytes kernel append incoming beats_pipe dirty_ring locks_memory uid gid
groups``"""


def find_qemu(qemu: str) -> str:
    """The path of a QEMU. :raise RequestError: ``qemu-missing``."""
    path = shutil.which(qemu)
    if path is None:
        raise RequestError(
            "qemu-missing",
            f"{qemu} is not installed (mend: labctl lab provision, or apt install qemu-system-x86)",
        )
    return path


def dying_with_us(*privilege: str) -> list[str]:
    """The command prefix of a program that the kernel kills when this process dies; `privilege`: of setpriv, what it gives up.

    The kernel does so from the moment that setpriv asks for it. This process may have died before, by a millisecond: then
    the shell finds that it has another parent, and starts nothing. So the process that makes the prefix starts the program.
    """
    unless_orphaned = '[ "$PPID" = "$0" ] && exec "$@"; echo "not started: its parent is not process $0" >&2; exit 1'
    return [
        *("setpriv", "--pdeathsig", "KILL", *privilege),
        *("sh", "-c", unless_orphaned, str(os.getpid())),
    ]


def trial_user(name: str | None) -> dict[str, Any]:
    """Whom QEMU may run as on this host: ``uid gid groups`` of a user by name; of the one that provisioning makes, where there
    is one; else of whoever became root by sudo; empty where that is nobody.

    :raise RequestError: ``user`` when there is none of that name
    """
    try:
        user = pwd.getpwnam(name or PROVISIONED_USER)
    except KeyError:
        if name:
            raise RequestError("user", f"there is no user {name}") from None
        uid = int(os.environ.get("SUDO_UID", "0"))
        if not uid:
            return {}
        user = pwd.getpwuid(uid)
    groups = os.getgrouplist(user.pw_name, user.pw_gid)
    return {"uid": user.pw_uid, "gid": user.pw_gid, "groups": groups}


def run_as(
    wanted_uid: int | None, wanted_gid: int | None, groups: Sequence[int] = ()
) -> tuple[list[str], str]:
    """The command prefix that starts QEMU, and what user it runs as and why.

    Postcopy needs userfaultfd for faults in the kernel's context, which a plain user has only where the sysctl allows it.
    """
    if os.getuid() != 0:
        return dying_with_us(), f"uid {os.getuid()}"
    if not wanted_uid:
        return dying_with_us(), "root: the run was started by root"
    if not _users_may_catch_faults():
        return dying_with_us(), "root: vm.unprivileged_userfaultfd is 0, so postcopy needs it"
    group = wanted_gid if wanted_gid is not None else wanted_uid
    # Among its groups is that of /dev/kvm, where there is one.
    beside = ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
    drop = ["--reuid", str(wanted_uid), "--regid", str(group), *beside, "--no-new-privs"]
    return dying_with_us(*drop), f"uid {wanted_uid}"


def _users_may_catch_faults() -> bool:
    try:
        with open("/proc/sys/vm/unprivileged_userfaultfd") as file:
            return file.read().strip() == "1"
    except OSError:
        return False


def accelerator(spec: Spec) -> str:
    """The accelerator and its options; with ``dirty_ring``, KVM collects what was dirtied in a ring (dirty-limit needs it)."""
    if spec["accelerator"] == "tcg":
        return "tcg,thread=multi"
    ring = f",dirty-ring-size={DIRTY_RING_ENTRIES}" if spec.get("dirty_ring") else ""
    return str(spec["accelerator"]) + ring


class Inherited(NamedTuple):
    """The descriptors that QEMU inherits."""

    qmp: int
    samples: int
    guest: int
    beats: int | None


def argv(spec: Spec, qemu: str, inherited: Inherited) -> list[str]:
    """QEMU's command line: a machine with the built-in guest, or none at all for questions."""
    line = [
        qemu, "-name", f"guest=labctl-{spec['name']},debug-threads=on",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", spec["machine_type"],
        "-accel", accelerator(spec),
        "-chardev", f"socket,id=qmp,fd={inherited.qmp}", "-mon", "chardev=qmp,mode=control",
        "-chardev", f"socket,id=samples,fd={inherited.samples}", "-mon", "chardev=samples,mode=control",
    ]  # fmt: skip
    if spec.get("kernel"):
        padding = TCG_PADDING_BYTES if spec["accelerator"] == "tcg" else 0
        line += [
            "-cpu",
            "qemu64",
            "-smp",
            str(spec["vcpus"]),
            "-m",
            f"size={spec['memory_bytes'] + padding}B",
        ]
        line += ["-kernel", spec["kernel"], "-append", spec["append"]]
        line += ["-chardev", f"socket,id=commands,fd={inherited.guest}"]
        line += ["-serial", "chardev:commands"]
    if inherited.beats is not None:
        line += ["-add-fd", f"fd={inherited.beats},set={_BEATS_FDSET}"]
        line += ["-chardev", f"file,id=beats,path=/dev/fdset/{_BEATS_FDSET},append=on"]
        line += ["-device", "isa-debugcon,iobase=0xe9,chardev=beats"]
    if spec.get("incoming"):
        line += ["-incoming", "defer"]
    return line + list(spec.get("extra", []))
