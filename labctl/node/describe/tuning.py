"""Tuning that is in force: what a host's owner sets, and what makes two hosts alike or not."""

from __future__ import annotations

from typing import Any

from .keys import Key
from .tree import Tree

_SYSCTLS = (
    # The scheduler, and who interrupts it.
    "kernel.numa_balancing", "kernel.sched_autogroup_enabled", "kernel.sched_rt_runtime_us",
    "kernel.timer_migration", "kernel.nmi_watchdog",
    # Memory.
    "vm.overcommit_memory", "vm.overcommit_ratio", "vm.swappiness", "vm.zone_reclaim_mode", "vm.min_free_kbytes",
    "vm.watermark_scale_factor", "vm.compaction_proactiveness", "vm.max_map_count",
    "vm.stat_interval",
    # The network.
    "net.core.rmem_max", "net.core.rmem_default", "net.core.wmem_max", "net.core.wmem_default", "net.core.optmem_max",
    "net.core.default_qdisc", "net.core.netdev_max_backlog", "net.core.netdev_budget", "net.core.busy_poll",
    "net.core.busy_read", "net.core.rps_sock_flow_entries", "net.core.somaxconn",
    "net.ipv4.tcp_congestion_control", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem", "net.ipv4.tcp_mem",
    "net.ipv4.tcp_mtu_probing", "net.ipv4.tcp_window_scaling", "net.ipv4.tcp_timestamps", "net.ipv4.tcp_sack",
    "net.ipv4.tcp_ecn", "net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_no_metrics_save",
    "net.ipv4.tcp_moderate_rcvbuf", "net.ipv4.tcp_limit_output_bytes", "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_autocorking", "net.ipv4.tcp_adv_win_scale", "net.ipv4.tcp_min_tso_segs",
)  # fmt: skip

KEYS = (
    Key("sysctls.<name>", "text", f"as the kernel has them: {', '.join(f'`{name}`' for name in _SYSCTLS)}"),
    Key("profile", "text", "of tuned, where it has set one"),
    Key("irqbalance", "bool", "whether irqbalance moves interrupts about"),
    Key("irq_cpus", "text", "mask of the processors that new interrupts go to"),
)  # fmt: skip


def describe(tree: Tree) -> dict[str, Any]:
    """The tuning in force, the network namespace of the agent's where it has one."""
    found = {name: tree.text(f"/proc/sys/{name.replace('.', '/')}") for name in _SYSCTLS}
    return {
        "sysctls": {name: " ".join(text.split()) for name, text in found.items() if text},
        "profile": tree.text("/etc/tuned/active_profile"),
        # It leaves a socket while it runs; older ones a file with their pid.
        "irqbalance": bool(tree.names("/run/irqbalance"))
        or tree.text("/run/irqbalance.pid") is not None,
        "irq_cpus": tree.text("/proc/irq/default_smp_affinity"),
    }
