"""Real hosts for tests and benchmarks of labs reached over SSH: Debian 12, booted, with nothing but sshd, python3 and sudo.

    with debian_hosts(["h1", "h2"], folder=tmp_path) as hosts:
        open_lab(str(hosts.inventory), ...)
        hosts["h2"].kill()

Each is a systemd-nspawn container with a kernel's view of its own of processes, files and network. What they share with this
machine, and a rack's hosts do not: kernel and clock, CPUs and memory, and what was written before a :meth:`Host.kill` is not lost.
Kernel settings outside of the network (`/proc/sys/vm`, `/sys`) are this machine's, and read-only unless `kernel=True`.
"""

from tests.hosts.commands import HostsError
from tests.hosts.host import Host
from tests.hosts.needs import missing_hosts
from tests.hosts.session import Hosts, debian_hosts

__all__ = ["Host", "Hosts", "HostsError", "debian_hosts", "missing_hosts"]
