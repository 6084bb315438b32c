"""What the agent says of a host: of a rack server drawn as a tree of files, of damaged ones, and of this machine."""

import json
import os
import platform
import re
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labctl.lab.agentfile import agent_file
from labctl.node import describe, procfs
from labctl.node.describe import KEYS, clock, kernel, limits
from labctl.node.describe.tree import Tree, members
from labctl.results.environment import flat

SECRET = "hunter2"
CPUS = "/sys/devices/system/cpu"
CPUINFO = """processor	: 0
vendor_id	: GenuineIntel
cpu family	: 6
model		: 143
model name	: Intel(R) Xeon(R) Gold 6430
stepping	: 8
microcode	: 0x2b000639
flags		: fpu vme constant_tsc nonstop_tsc erms vmx avx2 ept_ad pcid
vmx flags	: vnmi ept vpid tsc_scaling pml
"""
EMPTY_GID = "0000:0000:0000:0000:0000:0000:0000:0000"
FILES: dict[str, str] = {
    "/proc/cpuinfo": "\n".join([CPUINFO, CPUINFO.replace("0x2b000639", "0x1")]),
    "/proc/loadavg": "0.50 1.25 2.00 2/345 6789",
    "/proc/cmdline": f"BOOT_IMAGE=/vmlinuz root=UUID=0f9c2f1e-1c3b-4a57-9be0-7c4d7e1a2b3c isolcpus=2-3 rd.password={SECRET} "
    f"BOOTIF=01-52-54-00-12-34-56 inst.ks=https://kim:{SECRET}@depot/ks -- --token {SECRET}",
    "/proc/meminfo": "MemTotal:       1024 kB\nMemFree:  1 kB\nMemAvailable:    512 kB\nSwapTotal:       16 kB\nSwapFree: 8 kB",
    "/proc/sys/kernel/hostname": "hv1",
    "/proc/sys/kernel/osrelease": "6.1.0-28-amd64",
    "/proc/sys/kernel/version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1",
    "/proc/sys/kernel/tainted": "0",
    "/proc/sys/kernel/numa_balancing": "1",
    "/proc/sys/net/ipv4/tcp_rmem": "4096\t131072\t6291456",
    "/proc/sys/vm/unprivileged_userfaultfd": "1",
    "/proc/irq/default_smp_affinity": "ff",
    "/proc/self/cgroup": "0::/system.slice/labctl.service",
    "/proc/77/comm": "chronyd",
    "/etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"',
    "/etc/tuned/active_profile": "virtual-host",
    "/run/chrony/chronyd.pid": "77",
    "/run/systemd/container": "systemd-nspawn",
    "/run/irqbalance/irqbalance5.sock": "",
    "/sys/fs/cgroup/cpu.max": "max 100000",
    "/sys/fs/cgroup/system.slice/cpu.max": "150000 100000",
    "/sys/fs/cgroup/system.slice/memory.max": "1073741824",
    "/sys/fs/cgroup/system.slice/labctl.service/cpu.max": "400000 100000",
    "/sys/fs/cgroup/system.slice/labctl.service/memory.max": "max",
    f"{CPUS}/online": "0-3",
    f"{CPUS}/smt/control": "on",
    f"{CPUS}/isolated": "2-3",
    f"{CPUS}/intel_pstate/no_turbo": "1",
    f"{CPUS}/cpufreq/policy0/scaling_driver": "intel_pstate",
    f"{CPUS}/cpufreq/policy0/scaling_governor": "performance",
    f"{CPUS}/cpufreq/policy0/scaling_max_freq": "3400000",
    f"{CPUS}/cpufreq/policy1/scaling_governor": "powersave",
    f"{CPUS}/cpufreq/policy1/scaling_max_freq": "3400000",
    f"{CPUS}/cpuidle/current_driver": "intel_idle",
    f"{CPUS}/cpuidle/current_governor": "menu",
    f"{CPUS}/cpu0/cpuidle/state0/name": "POLL",
    f"{CPUS}/cpu0/cpuidle/state0/disable": "0",
    f"{CPUS}/cpu0/cpuidle/state1/name": "C6",
    f"{CPUS}/cpu0/cpuidle/state1/disable": "1",
    f"{CPUS}/vulnerabilities/retbleed": "Mitigation: Enhanced IBRS",
    **{f"{CPUS}/cpu{n}/topology/physical_package_id": str(n // 2) for n in range(4)},
    **{f"{CPUS}/cpu{n}/topology/core_cpus_list": f"{n // 2 * 2}-{n // 2 * 2 + 1}" for n in range(4)},
    "/sys/devices/system/node/online": "0-1",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
    "/sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm",
    "/sys/class/dmi/id/sys_vendor": "Dell Inc.",
    "/sys/class/dmi/id/product_name": "PowerEdge R760",
    "/sys/class/dmi/id/product_serial": SECRET,
    "/sys/class/dmi/id/bios_version": "1.5.6",
    "/sys/class/dmi/id/bios_date": "10/25/2023",
    "/sys/module/kvm/parameters/halt_poll_ns": "200000",
    "/sys/module/kvm_intel/parameters/nested": "Y",
    "/sys/module/zswap/parameters/enabled": "N",
    "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
    "/sys/kernel/mm/transparent_hugepage/khugepaged/defrag": "1",
    "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "64",
    "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "63",
    "/sys/kernel/mm/ksm/run": "0",
    "/sys/class/infiniband/mlx5_0/fw_ver": "22.38.1002",
    "/sys/class/infiniband/mlx5_0/node_type": "1: CA",
    "/sys/class/infiniband/mlx5_0/board_id": "MT_0000000359",
    "/sys/class/infiniband/mlx5_0/node_guid": SECRET,
    "/sys/class/infiniband/mlx5_0/device/numa_node": "1",
    "/sys/class/infiniband/mlx5_0/ports/1/state": "4: ACTIVE",
    "/sys/class/infiniband/mlx5_0/ports/1/phys_state": "5: LinkUp",
    "/sys/class/infiniband/mlx5_0/ports/1/rate": "100 Gb/sec (4X EDR)",
    "/sys/class/infiniband/mlx5_0/ports/1/link_layer": "Ethernet",
    "/sys/class/infiniband/mlx5_0/ports/1/gids/0": "fe80:0000:0000:0000:5054:00ff:fe12:3456",
    "/sys/class/infiniband/mlx5_0/ports/1/gids/1": EMPTY_GID,
    "/sys/class/infiniband/mlx5_0/ports/1/gids/2": "0000:0000:0000:0000:0000:ffff:c000:0201",
    "/sys/class/infiniband/mlx5_0/ports/1/gid_attrs/types/0": "IB/RoCE v1",
    "/sys/class/infiniband/mlx5_0/ports/1/gid_attrs/types/2": "RoCE v2",
    "/sys/class/infiniband/mlx5_0/ports/1/gid_attrs/ndevs/0": "ens1f0",
    "/sys/class/infiniband/mlx5_0/ports/1/gid_attrs/ndevs/2": "ens1f0",
    "/sys/class/infiniband/rxe0/parent": "eth0",
    "/sys/class/infiniband/rxe0/node_type": "1: CA",
    "/sys/class/infiniband/siw_eth0/node_type": "4: RNIC",
    "/sys/class/infiniband/soft/node_desc": "Software iWARP stack",
    "/sys/bus/pci/drivers/mlx5_core/module": "",
}  # fmt: skip
CHRONYC = """#!/bin/sh
test "$*" = "-c -n tracking" || exit 1
echo "C0000201,192.0.2.1,3,1795531682.112211674,-0.000012345,0.000001500,0.000020000,-11.402,0.001,0.025,0.000500000,0.000100000,64.5,Normal"
"""
KINDS: dict[str, type[Any] | tuple[type[Any], ...]] = {
    "text": str, "int": int, "bool": bool, "float": (int, float), "int or text": (int, str),
}  # fmt: skip


def plant(root: Path, files: dict[str, str | bytes | None]) -> None:
    """Write files below a root; None: a folder by that name."""
    for name, content in files.items():
        path = root / name[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(content if isinstance(content, bytes) else f"{content}\n".encode())
    drivers = root / "sys/class/infiniband"
    for device in ("mlx5_0", "rxe0"):
        # A device in software hangs on its network card, whose driver it is not.
        (drivers / device / "device").mkdir(parents=True, exist_ok=True)
        (drivers / device / "device/driver").symlink_to("/sys/bus/pci/drivers/mlx5_core")


def undocumented(said: dict[str, Any]) -> list[tuple[str, ...]]:
    """What has no key in the table, or is not of its kind."""
    return [path for path, value in flat(said) if not any(fits(key, path, value) for key in KEYS)]


def fits(key: Any, path: tuple[str, ...], value: Any) -> bool:
    if not key.names(path) or value is None:
        return bool(key.names(path))
    if key.kind.startswith("list of "):
        one = KINDS[key.kind.removeprefix("list of ")]
        return isinstance(value, list) and all(isinstance(item, one) for item in value)
    return isinstance(value, KINDS[key.kind]) and isinstance(value, bool) == (key.kind == "bool")


@pytest.fixture
def rack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server with two packages, a chronyd, RDMA in hardware and in software."""
    plant(tmp_path / "root", dict(FILES))
    chronyc = tmp_path / "bin" / "chronyc"
    chronyc.parent.mkdir()
    chronyc.write_text(CHRONYC)
    chronyc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{chronyc.parent}:{os.environ['PATH']}")
    return tmp_path / "root"


@pytest.fixture
def said(rack: Path) -> dict[str, Any]:
    """What is said of it."""
    found = describe.describe(str(rack))
    assert "faults" not in found
    return found


def test_the_processors(said: dict[str, Any]) -> None:
    cpu = said["cpu"]
    assert cpu["model"] == "Intel(R) Xeon(R) Gold 6430"
    assert cpu["signature"] == "GenuineIntel 6 143 8"
    assert cpu["microcode"] == "0x2b000639", "of the first"
    assert (cpu["sockets"], cpu["cores"], cpu["threads"], cpu["numa_nodes"]) == (2, 2, 4, 2)
    assert (cpu["smt"], cpu["isolated"]) == ("on", "2-3")
    wanted = "constant_tsc ept ept_ad erms nonstop_tsc pcid pml tsc_scaling vmx vpid avx2"
    assert cpu["flags"] == sorted(wanted.split())
    assert cpu["frequency"] == {
        "driver": "intel_pstate", "governor": "performance, powersave", "preference": None,
        "least_khz": None, "most_khz": "3400000", "boost": False,
    }  # fmt: skip
    assert (cpu["idle"]["driver"], cpu["idle"]["states"]) == ("intel_idle", ["POLL"])
    assert cpu["vulnerabilities"] == {"retbleed": "Mitigation: Enhanced IBRS"}
    assert cpu["load_average"] == [0.5, 1.25, 2.0]


def test_the_kernel_and_what_it_runs_on(said: dict[str, Any]) -> None:
    assert said["hostname"] == "hv1"
    assert said["distribution"] == "Debian GNU/Linux 12 (bookworm)"
    assert said["kernel"]["release"] == "6.1.0-28-amd64"
    assert said["kernel"]["clocksource"] == "tsc"
    assert said["machine"] == {
        "vendor": "Dell Inc.", "product": "PowerEdge R760", "firmware": "1.5.6 10/25/2023", "virtual": False,
        "hypervisor": None, "container": "systemd-nspawn",
    }  # fmt: skip
    assert said["kvm"] == {
        "device": False,
        "usable": False,
        "modules": {"kvm": {"halt_poll_ns": "200000"}, "kvm_intel": {"nested": "Y"}},
    }


def test_memory_and_tuning(said: dict[str, Any]) -> None:
    memory, tuning = said["memory"], said["tuning"]
    assert (memory["total_bytes"], memory["available_bytes"]) == (1 << 20, 1 << 19)
    assert (memory["swap_bytes"], memory["swap_compressed"]) == (16384, False)
    assert memory["transparent_hugepages"]["enabled"] == "madvise"
    assert memory["transparent_hugepages"]["in_background"] is True
    assert memory["hugepages"] == {"2048kB": {"pages": 64, "free": 63, "overcommit": None}}
    assert memory["userfaultfd"] == {"unprivileged": True, "device": False, "device_usable": False}
    assert tuning == {
        "sysctls": {"kernel.numa_balancing": "1", "net.ipv4.tcp_rmem": "4096 131072 6291456"},
        "profile": "virtual-host", "irqbalance": True, "irq_cpus": "ff",
    }  # fmt: skip


def test_the_narrowest_control_group_counts(said: dict[str, Any], tmp_path: Path) -> None:
    limited = {name: value for name, value in said["limits"].items() if name.startswith("cgroup")}
    assert limited == {
        "cgroup_version": 2, "cgroup_cpus": 1.5, "cgroup_memory_bytes": 1 << 30,
    }  # fmt: skip
    first = {
        "/proc/self/cgroup": "4:memory:/jobs\n2:cpu,cpuacct:/jobs\n0::/",
        "/sys/fs/cgroup/cpu/jobs/cpu.cfs_quota_us": "50000",
        "/sys/fs/cgroup/cpu/jobs/cpu.cfs_period_us": "100000",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
        "/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes": "4096",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
    }
    plant(tmp_path / "v1", dict(first))
    old = limits.describe(Tree(str(tmp_path / "v1")))
    assert (old["cgroup_version"], old["cgroup_cpus"], old["cgroup_memory_bytes"]) == (1, 0.5, 4096)
    none = limits.describe(Tree(str(tmp_path / "nothing")))
    assert (none["cgroup_version"], none["cgroup_memory_bytes"]) == (None, None)


def test_rdma_in_hardware_and_in_software(said: dict[str, Any]) -> None:
    rdma = said["rdma"]
    assert {name: device["provider"] for name, device in rdma.items()} == {
        "mlx5_0": "mlx5_core", "rxe0": "rxe", "siw_eth0": "siw", "soft": "siw",
    }  # fmt: skip
    card = rdma["mlx5_0"]
    assert (card["firmware"], card["board"], card["node_type"], card["numa_node"]) == (
        "22.38.1002",
        "MT_0000000359",
        "CA",
        1,
    )
    assert card["ports"] == {
        "1": {
            "state": "ACTIVE", "physical_state": "LinkUp", "rate": "100 Gb/sec (4X EDR)", "link_layer": "Ethernet",
            "gids": 2, "gid_types": {"IB/RoCE v1": 1, "RoCE v2": 1}, "interfaces": ["ens1f0"],
        }
    }  # fmt: skip


def test_chronyd_is_asked_where_it_runs_but_not_for_its_server(
    said: dict[str, Any], rack: Path
) -> None:
    assert said["clock"]["service"] == "chronyd"
    assert said["clock"]["chrony"] == {
        "stratum": 3, "offset_s": -0.000012345, "last_offset_s": 0.0000015, "rms_offset_s": 0.00002,
        "frequency_ppm": -11.402, "skew_ppm": 0.025, "root_delay_s": 0.0005, "root_dispersion_s": 0.0001,
        "update_interval_s": 64.5, "leap": "Normal",
    }  # fmt: skip
    assert "192.0.2.1" not in json.dumps(said)
    (rack / "proc/77/comm").write_text("somebody else\n")
    (rack / "run/systemd/timesync").mkdir()
    assert clock.describe(Tree(str(rack)))["service"] == "systemd-timesyncd"
    assert "chrony" not in clock.describe(Tree(str(rack)))


@pytest.mark.parametrize(
    "does", ["exit 1", "exec sleep 60", "echo ',,'; exec 2>&1", "printf '\\377\\n'"]
)
def test_a_chronyc_that_does_not_answer_is_not_waited_for(does: str, rack: Path) -> None:
    (rack.parent / "bin" / "chronyc").write_text(f"#!/bin/sh\n{does}\n")
    started = time.monotonic()
    said = describe.describe(str(rack))
    assert time.monotonic() - started < 10
    assert "faults" not in said
    assert undocumented(said) == []


def test_nothing_in_it_is_a_secret_or_an_address_of_hardware(said: dict[str, Any]) -> None:
    text = json.dumps(said)
    assert SECRET not in text
    assert said["kernel"]["command_line"] == (
        "BOOT_IMAGE=/vmlinuz root=UUID=(hidden) isolcpus=2-3 rd.password=(hidden) BOOTIF=(hidden) "
        "inst.ks=https://(hidden)@depot/ks"
    )
    assert not re.search(r"(?i)([0-9a-f]{2}[:-]){5}[0-9a-f]{2}|fe80:", text)


@pytest.mark.parametrize(
    "harmless",
    ["quiet", "console=ttyS0,115200n8", "vconsole.keymap=de", "mitigations=auto,nosmt", "dyndbg=file a.c +p"],
)  # fmt: skip
def test_the_rest_of_a_command_line_is_kept(harmless: str) -> None:
    assert kernel.command_line(harmless) == harmless


@pytest.mark.parametrize("name", ["KEY", "luks.key", "trusted_key", "nfs.PASSWORD", "psk", "systemd.set_credential", "api-token"])  # fmt: skip
def test_what_is_called_like_a_secret_is_hidden(name: str) -> None:
    assert kernel.command_line(f"a {name}={SECRET} b") == f"a {name}=(hidden) b"


def test_every_key_of_the_rack_is_in_the_table(said: dict[str, Any]) -> None:
    assert undocumented(said) == []
    assert len({key.path for key in KEYS}) == len(KEYS)


def test_a_host_of_which_nothing_can_be_read_is_described_too(tmp_path: Path) -> None:
    said = describe.describe(str(tmp_path))
    assert said["hostname"] == platform.node()
    assert said["cpu"]["model"] is None
    assert said["rdma"] == {}
    assert "faults" not in said
    assert undocumented(said) == []


damage = st.dictionaries(
    st.sampled_from(sorted(FILES)),
    st.none()
    | st.binary(max_size=60)
    | st.sampled_from([b"", b"-1", b"9" * 400, b"0-99999999", b"[", b": :", b"max", b"1 0", b"\0"]),
    min_size=1,
    max_size=len(FILES),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(damage)
def test_no_file_can_make_it_fail(files: dict[str, bytes | None]) -> None:
    """Whatever stands in a file, or a folder in its place: a description, of documented keys, that JSON can carry."""
    with tempfile.TemporaryDirectory() as root:
        plant(Path(root), {**FILES, **files})
        said = describe.describe(root)
    assert "faults" not in said
    assert undocumented(said) == []
    assert json.loads(json.dumps(said)) == said


def test_a_part_that_fails_is_told_and_the_rest_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_tree: Tree) -> None:
        raise KeyError("x")

    monkeypatch.setitem(describe._PARTS, "memory", fails)
    said = describe.describe()
    assert said["faults"] == {"memory": "KeyError: 'x'"}
    assert "memory" not in said
    assert said["cpu"]["usable"] >= 1
    assert undocumented(said) == []


def test_this_machine(tmp_path: Path) -> None:
    said = describe.describe()
    assert "faults" not in said
    assert undocumented(said) == []
    assert said["kernel"]["release"] == platform.release()
    assert said["cpu"]["threads"] == os.sysconf("SC_NPROCESSORS_ONLN")
    assert said["cpu"]["usable"] == len(os.sched_getaffinity(0))
    assert said["memory"]["total_bytes"] == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert said["memory"]["available_bytes"] == pytest.approx(
        procfs.available_memory_bytes(), rel=0.2
    )
    assert said["agent"]["uid"] == os.getuid()
    assert said["agent"]["python"] == platform.python_version()
    assert said["clock"]["anchor"]["monotonic_ns"] <= time.monotonic_ns()
    kvm = Path("/dev/kvm")
    assert said["kvm"]["device"] is (kvm.exists() and stat.S_ISCHR(kvm.stat().st_mode))
    names = {line.split(":")[0].strip() for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]}  # fmt: skip
    assert set(said["network"]["interfaces"]) == names - {"lo"}


def test_it_takes_no_time_to_speak_of() -> None:
    """It is said at the start of every node, beside which it is little; chronyd apart, which is another program."""
    if shutil.which("chronyc"):
        pytest.skip("chronyc is asked here")
    describe.describe()
    starts, says = [], []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-I", str(agent_file())], capture_output=True, check=False)
        starts.append(time.perf_counter() - began)
        began = time.perf_counter()
        describe.describe()
        says.append(time.perf_counter() - began)
    assert min(says) < min(starts) / 3


@pytest.fixture
def memlock() -> Iterator[tuple[int, int]]:
    """The limits of locked memory, as they were."""
    yield (before := resource.getrlimit(resource.RLIMIT_MEMLOCK))
    assert resource.getrlimit(resource.RLIMIT_MEMLOCK) == before


def test_whether_memlock_can_be_raised_is_tried_and_nothing_is_changed(
    memlock: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    can = limits.can_raise_memlock()
    asked: list[tuple[int, int]] = []

    def refuses(_what: int, both: tuple[int, int]) -> None:
        asked.append(both)
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _what: (10, 20))
    monkeypatch.setattr(resource, "setrlimit", refuses)
    assert limits.can_raise_memlock() is False
    monkeypatch.setattr(resource, "setrlimit", lambda _what, both: asked.append(both))
    assert limits.can_raise_memlock() is True
    assert asked == [(10, 21), (10, 21), (10, 20)]
    monkeypatch.undo()
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == resource.RLIM_INFINITY:
        assert can
        assert limits.describe(Tree())["memlock_hard_bytes"] == "unlimited"


def test_lists_of_processors() -> None:
    assert list(members("0-3,8")) == [0, 1, 2, 3, 8]
    assert list(members("7")) == [7]
    assert list(members("")) == list(members(None)) == list(members("3-1,x,-,0-99999")) == []
