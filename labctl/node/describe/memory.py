"""Memory: how much, in what pages, and what the kernel does with it by itself."""

from __future__ import annotations

from typing import Any

from .keys import Key
from .tree import Tree, number

_MM = "/sys/kernel/mm"
_THP, _KSM = f"{_MM}/transparent_hugepage", f"{_MM}/ksm"

KEYS = (
    Key("total_bytes", "int", "what the kernel has"),
    Key("available_bytes", "int", "what can be had without swapping", varies=True),
    Key("swap_bytes", "int", "swap space"),
    Key("swap_free_bytes", "int", "of it, what is free", varies=True),
    Key("swap_compressed", "bool", "whether zswap compresses it"),
    Key("transparent_hugepages.enabled", "text", "`always`, `madvise` or `never`"),
    Key("transparent_hugepages.defrag", "text", "when memory is compacted for them"),
    Key("transparent_hugepages.shared", "text", "for shared memory (`shmem_enabled`)"),
    Key("transparent_hugepages.in_background", "bool", "whether khugepaged may compact for them"),
    Key("hugepages.<name>.pages", "int", "pages of this size that are set aside"),
    Key("hugepages.<name>.free", "int", "of them, those that nobody uses", varies=True),
    Key("hugepages.<name>.overcommit", "int", "pages of this size that may be made beyond"),
    Key("same_page_merging.run", "int", "KSM: 1 merges, 0 does not, 2 undoes it"),
    Key("same_page_merging.pages_to_scan", "int", "how many pages it looks at each time"),
    Key("same_page_merging.sleep_ms", "int", "how long it sleeps between"),
    Key("same_page_merging.across_nodes", "bool", "whether pages of different NUMA nodes are merged"),
    Key("same_page_merging.shared_pages", "int", "pages that are merged now", varies=True),
    Key("userfaultfd.unprivileged", "bool", "whether a plain user's faults in the kernel can be caught (the sysctl)"),
    Key("userfaultfd.device", "bool", "whether there is /dev/userfaultfd"),
    Key("userfaultfd.device_usable", "bool", "whether the agent may use it"),
)  # fmt: skip


def describe(tree: Tree) -> dict[str, Any]:
    """Memory."""
    sizes = tree.fields("/proc/meminfo")

    def size(name: str) -> int | None:
        kib = number(sizes.get(name, "").partition(" ")[0])
        return None if kib is None else kib * 1024

    return {
        "total_bytes": size("MemTotal"),
        "available_bytes": size("MemAvailable"),
        "swap_bytes": size("SwapTotal"),
        "swap_free_bytes": size("SwapFree"),
        "swap_compressed": tree.switch("/sys/module/zswap/parameters/enabled"),
        "transparent_hugepages": {
            "enabled": tree.chosen(f"{_THP}/enabled"),
            "defrag": tree.chosen(f"{_THP}/defrag"),
            "shared": tree.chosen(f"{_THP}/shmem_enabled"),
            "in_background": tree.switch(f"{_THP}/khugepaged/defrag"),
        },
        "hugepages": _hugepages(tree),
        "same_page_merging": {
            "run": tree.number(f"{_KSM}/run"),
            "pages_to_scan": tree.number(f"{_KSM}/pages_to_scan"),
            "sleep_ms": tree.number(f"{_KSM}/sleep_millisecs"),
            "across_nodes": tree.switch(f"{_KSM}/merge_across_nodes"),
            "shared_pages": tree.number(f"{_KSM}/pages_shared"),
        },
        "userfaultfd": {
            "unprivileged": tree.switch("/proc/sys/vm/unprivileged_userfaultfd"),
            "device": tree.is_there("/dev/userfaultfd"),
            "device_usable": tree.is_usable("/dev/userfaultfd"),
        },
    }


def _hugepages(tree: Tree) -> dict[str, Any]:
    """By size, as the kernel calls it: ``2048kB``."""
    folders = [name for name in tree.names(f"{_MM}/hugepages") if name.startswith("hugepages-")]
    return {
        name[len("hugepages-") :]: {
            "pages": tree.number(f"{_MM}/hugepages/{name}/nr_hugepages"),
            "free": tree.number(f"{_MM}/hugepages/{name}/free_hugepages"),
            "overcommit": tree.number(f"{_MM}/hugepages/{name}/nr_overcommit_hugepages"),
        }
        for name in folders
    }
