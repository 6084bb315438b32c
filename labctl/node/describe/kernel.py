"""The kernel and what it runs on: a machine, a hypervisor, a container; and what of KVM is there."""

from __future__ import annotations

import platform
import re
from typing import Any

from .keys import Key
from .tree import Tree, fields

_DMI = "/sys/class/dmi/id"
_CLOCKSOURCE = "/sys/devices/system/clocksource/clocksource0"
_KVM_MODULES = ("kvm", "kvm_intel", "kvm_amd")
_KVM_PARAMETERS = (
    "nested", "ept", "npt", "pml", "eptad", "vpid", "enable_apicv", "avic", "ple_gap", "pause_filter_count",
    "halt_poll_ns", "tdp_mmu", "eager_page_split", "nx_huge_pages", "ignore_msrs", "enable_pmu",
)  # fmt: skip
_SECRET_NAMES = re.compile(r"passw|secret|token|credential|psk|(^|[._-])key$", re.IGNORECASE)
_IDENTITIES = re.compile(
    r"(?:[0-9a-f]{2}[:-]){5,}[0-9a-f]{2}"  # a hardware address
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # a UUID
    r"|(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"  # a machine's id
    r"|(?<=//)[^/@\s]+(?=@)",  # who logs in to an address
    re.IGNORECASE,
)
HIDDEN = "(hidden)"

KERNEL_KEYS = (
    Key("release", "text", "of the kernel"),
    Key("version", "text", "of its build: number, options, date"),
    Key("command_line", "text", "without what is init's; values that look like a secret, a serial number or an address are `(hidden)`"),
    Key("clocksource", "text", "what the kernel's clock reads"),
    Key("clocksources", "text", "what it could read"),
    Key("tainted", "int", "the kernel's flags of what has been done to it; 0: nothing"),
)  # fmt: skip
MACHINE_KEYS = (
    Key("vendor", "text", "who made the machine (DMI)"),
    Key("product", "text", "what it is called (DMI)"),
    Key("firmware", "text", "version and date of its firmware (DMI)"),
    Key("virtual", "bool", "whether it is itself a virtual machine, as the processor says"),
    Key("hypervisor", "text", "below it, where the kernel knows"),
    Key("container", "text", "what contains this system, as systemd was told"),
)
KVM_KEYS = (
    Key("device", "bool", "whether there is /dev/kvm"),
    Key("usable", "bool", "whether the agent may use it"),
    Key("modules.<name>.<name>", "text", "of each module of KVM, the parameters that machines or their migration depend on"),
)  # fmt: skip


def describe(tree: Tree) -> dict[str, Any]:
    """The kernel."""
    return {
        "release": tree.text("/proc/sys/kernel/osrelease"),
        "version": tree.text("/proc/sys/kernel/version"),
        "command_line": command_line(tree.text("/proc/cmdline")),
        "clocksource": tree.text(f"{_CLOCKSOURCE}/current_clocksource"),
        "clocksources": tree.text(f"{_CLOCKSOURCE}/available_clocksource"),
        "tainted": tree.number("/proc/sys/kernel/tainted"),
    }


def command_line(text: str | None) -> str | None:
    """The kernel's part of its command line (what follows `--` is init's), and nothing in it that is nobody else's business."""
    if text is None:
        return None
    words = []
    for word in text.split():
        if word == "--":
            break
        name, given, _value = word.partition("=")
        secret = given and _SECRET_NAMES.search(name)
        words.append(f"{name}={HIDDEN}" if secret else _IDENTITIES.sub(HIDDEN, word))
    return " ".join(words)


def machine(tree: Tree) -> dict[str, Any]:
    """What the kernel runs on."""
    firmware = [tree.text(f"{_DMI}/{name}") for name in ("bios_version", "bios_date")]
    first = fields(tree.text("/proc/cpuinfo", 1 << 14) or "")
    return {
        "vendor": tree.text(f"{_DMI}/sys_vendor"),
        "product": tree.text(f"{_DMI}/product_name"),
        "firmware": " ".join(text for text in firmware if text) or None,
        "virtual": "hypervisor" in first["flags"].split() if "flags" in first else None,
        "hypervisor": tree.text("/sys/hypervisor/type"),
        "container": tree.text("/run/systemd/container")
        or tree.text("/run/host/container-manager"),
    }


def distribution(tree: Tree) -> str | None:
    """What the distribution calls itself."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        name = tree.fields(path, "=").get("PRETTY_NAME")
        if name:
            return name
    return None


def hostname(tree: Tree) -> str:
    """The name that the host goes by."""
    return tree.text("/proc/sys/kernel/hostname") or platform.node()


def kvm(tree: Tree) -> dict[str, Any]:
    """What of KVM is there."""
    modules: dict[str, dict[str, str | None]] = {}
    for module in _KVM_MODULES:
        folder = f"/sys/module/{module}/parameters"
        there = set(tree.names(folder))
        if there:
            modules[module] = {
                name: tree.text(f"{folder}/{name}") for name in _KVM_PARAMETERS if name in there
            }
    return {
        "device": tree.is_there("/dev/kvm"),
        "usable": tree.is_usable("/dev/kvm"),
        "modules": modules,
    }
