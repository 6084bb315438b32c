"""The processors: what they are, and what makes them faster or slower from one moment to the next."""

from __future__ import annotations

import os
from typing import Any

from .keys import Key
from .tree import Tree, fields, members, real

_FLAGS = (
    # Virtual machines, and how the host learns which of their pages were written.
    "vmx", "svm", "ept", "npt", "ept_ad", "pml", "vpid", "avic", "apicv", "flexpriority", "hypervisor",
    # Time.
    "constant_tsc", "nonstop_tsc", "tsc_known_freq", "tsc_adjust", "tsc_deadline_timer", "tsc_scaling", "tsc_scale", "arat",
    # What copies, compares and compresses pages.
    "erms", "fsrm", "avx2", "avx512f", "avx512bw", "aes", "vaes", "enqcmd", "amx_tile", "pdpe1gb", "la57",
    # Costs of entering the kernel and of memory that is encrypted.
    "pcid", "invpcid", "sme", "sev", "sev_es", "sev_snp", "tdx_guest",
)  # fmt: skip
_CPUS = "/sys/devices/system/cpu"
_ONE_PROCESSOR_BYTES = 1 << 14

KEYS = (
    Key("model", "text", "model name"),
    Key("signature", "text", "vendor, family, model and stepping"),
    Key("microcode", "text", "revision of the microcode"),
    Key("sockets", "int", "packages"),
    Key("cores", "int", "cores of all packages"),
    Key("threads", "int", "processors that are online"),
    Key("usable", "int", "of them, those that the agent may run on"),
    Key("numa_nodes", "int", "NUMA nodes"),
    Key("smt", "text", "simultaneous multithreading: `on`, `off`, `notsupported` ..."),
    Key("flags", "list of text", "of the processor's flags, those that machines, clocks or copying depend on"),
    Key("isolated", "text", "processors that the scheduler leaves alone (`isolcpus`)"),
    Key("adaptive_ticks", "text", "processors without a timer tick while one task runs (`nohz_full`)"),
    Key("frequency.driver", "text", "driver of the frequency; each one that is in use"),
    Key("frequency.governor", "text", "its governor; each one that is in use"),
    Key("frequency.preference", "text", "energy or performance, as the processor is told; each one in use"),
    Key("frequency.least_khz", "text", "lowest frequency that is allowed; each one in use"),
    Key("frequency.most_khz", "text", "highest frequency that is allowed; each one in use"),
    Key("frequency.boost", "bool", "whether turbo or boost is allowed"),
    Key("idle.driver", "text", "driver of the idle states"),
    Key("idle.governor", "text", "their governor"),
    Key("idle.states", "list of text", "the first processor's idle states that are not disabled"),
    Key("idle.wakeup_latency_us", "text", "longest time the first processor may take to wake (`pm_qos_resume_latency_us`)"),
    Key("vulnerabilities.<name>", "text", "the kernel's word on each vulnerability, and what it does against it"),
    Key("load_average", "list of float", "over 1, 5 and 15 minutes", varies=True),
)  # fmt: skip


def describe(tree: Tree) -> dict[str, Any]:
    """The processors."""
    # All alike: the kernel would need a while to list hundreds of them.
    listed = tree.text("/proc/cpuinfo", _ONE_PROCESSOR_BYTES) or ""
    first = fields(listed.partition("\n\n")[0])
    flags = set(f"{first.get('flags', '')} {first.get('vmx flags', '')}".split())
    online = list(members(tree.text(f"{_CPUS}/online")))
    topology = [f"{_CPUS}/cpu{number}/topology" for number in online]
    return {
        "model": first.get("model name"),
        "signature": _signature(first),
        "microcode": first.get("microcode"),
        "sockets": _different(tree, topology, "physical_package_id"),
        "cores": _different(tree, topology, "core_cpus_list")
        or _different(tree, topology, "thread_siblings_list"),
        "threads": len(online) or None,
        "usable": len(os.sched_getaffinity(0)),
        "numa_nodes": len(list(members(tree.text("/sys/devices/system/node/online")))) or None,
        "smt": tree.text(f"{_CPUS}/smt/control"),
        "flags": sorted(flags.intersection(_FLAGS)),
        "isolated": tree.text(f"{_CPUS}/isolated"),
        "adaptive_ticks": tree.text(f"{_CPUS}/nohz_full"),
        "frequency": _frequency(tree),
        "idle": _idle(tree),
        "vulnerabilities": {
            name: tree.text(f"{_CPUS}/vulnerabilities/{name}")
            for name in tree.names(f"{_CPUS}/vulnerabilities")
        },
        "load_average": _load(tree.text("/proc/loadavg")),
    }


def _load(text: str | None) -> list[float]:
    """Over 1, 5 and 15 minutes; empty when the kernel does not say."""
    loads = [real(word) for word in (text or "").split()[:3]]
    return [load for load in loads if load is not None]


def _signature(first: dict[str, str]) -> str | None:
    parts = [first.get(name) for name in ("vendor_id", "cpu family", "model", "stepping")]
    return " ".join(part for part in parts if part) or None


def _different(tree: Tree, folders: list[str], name: str) -> int | None:
    return len({text for text in (tree.text(f"{one}/{name}") for one in folders) if text}) or None


def _frequency(tree: Tree) -> dict[str, Any]:
    folder = f"{_CPUS}/cpufreq"
    policies = [f"{folder}/{one}" for one in tree.names(folder) if one.startswith("policy")]

    def all_say(name: str) -> str | None:
        return tree.distinct(f"{policy}/{name}" for policy in policies)

    boost = tree.switch(f"{folder}/boost")
    no_turbo = tree.switch(f"{_CPUS}/intel_pstate/no_turbo")
    return {
        "driver": all_say("scaling_driver"),
        "governor": all_say("scaling_governor"),
        "preference": all_say("energy_performance_preference"),
        "least_khz": all_say("scaling_min_freq"),
        "most_khz": all_say("scaling_max_freq"),
        "boost": boost if no_turbo is None else not no_turbo,
    }


def _idle(tree: Tree) -> dict[str, Any]:
    first = f"{_CPUS}/cpu0/cpuidle"
    states = [f"{first}/{state}" for state in tree.names(first) if state.startswith("state")]
    allowed = [
        tree.text(f"{state}/name") for state in states if not tree.switch(f"{state}/disable")
    ]
    return {
        "driver": tree.text(f"{_CPUS}/cpuidle/current_driver"),
        "governor": tree.text(f"{_CPUS}/cpuidle/current_governor")
        or tree.text(f"{_CPUS}/cpuidle/current_governor_ro"),
        "states": [name for name in allowed if name],
        "wakeup_latency_us": tree.text(f"{_CPUS}/cpu0/power/pm_qos_resume_latency_us"),
    }
