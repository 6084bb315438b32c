"""What a host is like, as text: taken before something is done to it and after, both must be the same."""

import re
import subprocess
from dataclasses import dataclass

from tests.hosts import Host

# Left out is what every tool leaves that is told to undo what it did: the copies that useradd and ucf make before a change,
# apt's lists, what daemons keep of their own, logs, Ansible's scratch folder; and what the machine below does by itself.
_LOOK = r"""
section() { sed "s|^|$1: |"; }
dpkg-query --show --showformat='${Package} ${db:Status-Abbrev} ${Version}\n' | section package
apt-mark showmanual | section asked-for
kept="/etc /opt /root /home /usr/local /srv"
find $kept -xdev \( -type f ! -name '*-' -o ! -type f ! -path '*/.cache*' \) -printf '%p %M %u %g %l\n' | section file
find $kept -xdev -type f ! -name '*-' -exec sha256sum {} + | section content
find /var/lib /var/cache /var/spool -xdev -printf '%p %M %u %g\n' | grep -vE '/(dpkg|apt|systemd|debconf|ucf|chrony)/' | section file
cat /etc/passwd /etc/group /etc/shadow /etc/gshadow | section account
systemctl list-unit-files --no-pager --no-legend | section unit
systemctl list-units --no-pager --no-legend --plain --type=service,timer,socket |
  awk '$3 == "active" {print $1, $4}' | section running
find /proc/sys/net -type f -perm -0400 ! -path '*/neigh/*' ! -path '*secret*' ! -name '*_count' -exec grep -Hs '' {} + | section kernel
"""
_UNTIL_ADDRESSES_STAND = (
    *("timeout", "10", "sh", "-c"),
    "while ip -6 -o address show tentative | grep -q .; do :; done",
)
"""a host that has just booted is still asking whether somebody has its addresses"""
_INTERFACES = (
    "ip -details address show",
    "ip route show table all",
    "ip -6 route show table all",
)
_CHANGES_BY_ITSELF = ("valid_lft", "expires", "stats")
_OF_THE_MOMENT = re.compile(r" qdisc no(queue|op)\b|@if\d+")
"""whether an interface has ever been up; the number of its cable's other end"""


@dataclass(frozen=True)
class Snapshot:
    """Lines, each with what it is about in front."""

    lines: frozenset[str]

    def __sub__(self, other: "Snapshot") -> list[str]:
        """What this one has and the other has not."""
        return sorted(self.lines - other.lines)


def take(host: Host) -> Snapshot:
    """Look at a host. Its interfaces are looked at with this machine's programs, as it may have none."""
    in_its_network = ["nsenter", "--target", str(host.pid), "--net"]
    subprocess.run([*in_its_network, *_UNTIL_ADDRESSES_STAND], timeout=20, check=True)
    done = host.run(_LOOK)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for command in _INTERFACES:
        look = [*in_its_network, *command.split()]
        shown = subprocess.run(look, capture_output=True, text=True, timeout=20, check=True)
        lines += [
            f"{command}: {_OF_THE_MOMENT.sub('', line.strip())}"
            for line in shown.stdout.splitlines()
            if not any(word in line for word in _CHANGES_BY_ITSELF)
        ]
    return Snapshot(frozenset(lines))


def assert_same(before: Snapshot, after: Snapshot) -> None:
    """Nothing has come, nothing has gone."""
    came, went = after - before, before - after
    assert not came, "\n".join(["came:", *came, "went:", *went])
    assert not went, "\n".join(["went:", *went])
