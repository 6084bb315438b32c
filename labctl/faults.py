"""What Ansible says of a failure, in words that name the fault and the mend.

A role's own message says both by itself: `what is wrong. Mend: what to do`. The rest are ssh's, sudo's, Python's, apt's and
Ansible's own; FAULTS knows those that a person meets.
"""

import re
from typing import Final, NamedTuple

from labctl.playbook import TaskEvent

PYTHON: Final = "install Python 3.9 or newer there, and name it: ansible_python_interpreter"
ASKS: Final = "sudo wants a password"
_KEY: Final = "ansible_ssh_private_key_file, ansible_user"
_SUDO: Final = "let this user sudo without a password, or set ansible_become_password (in a vault)"
_APT: Final = "check the host's network and package sources: apt-get update"


class Known(NamedTuple):
    """What of a message is known, what is the fault (empty: the message is clear), and what to do. `{names}` are the groups'."""

    says: str
    fault: str
    mend: str


FAULTS: Final = (
    # ssh
    Known(
        r'HOST IDENTIFICATION HAS CHANGED.* (?P<forget>ssh-keygen -f "[^"]+" -R "[^"]+")',
        "its host key is not the one that is known",
        "if the host was made anew, forget its old key: {forget}; if it was not, somebody else answers there",
    ),
    Known(
        r'(remote host "|host key is known for )(?P<address>[^" ]+).*Host key verification failed',
        "its host key is not known",
        "go there once and compare the fingerprint: ssh {address}",
    ),
    Known(
        r"no such identity: (?P<key>\S+): .* (?P<who>\S+@\S+): Permission denied",
        "SSH lets {who} not in, and there is no key {key}",
        f"name the right one: {_KEY}",
    ),
    Known(
        r"(?P<who>\S+@\S+): Permission denied",
        "SSH lets {who} not in",
        f"put a key there (ssh-copy-id), or name the right one: {_KEY}",
    ),
    Known(
        r"Could not resolve hostname (?P<name>[^:]+):",
        "there is no host named {name}",
        "set ansible_host to its address",
    ),
    Known(
        r"connect to host (?P<address>\S+) port (?P<port>\d+): (?P<why>[\w ]+)",
        "port {port} of {address} cannot be reached: {why}",
        "is it up, and its sshd running? try: ssh -p {port} {address} true",
    ),
    Known(r"Unable to execute ssh", "", "install openssh-client on this machine"),
    Known(r"must install the sshpass program", "", "install sshpass on this machine, or use a key"),
    # sudo
    Known(r"sudo: not found", "there is no sudo", "run as root, or install sudo"),
    Known(
        r"Missing sudo password|a password is required",
        ASKS,
        f"run as root, {_SUDO}",
    ),
    Known(r"Incorrect sudo password", "sudo refuses the password", _SUDO),
    Known(r"not in the sudoers file|is not allowed to", "", "run as root, or let this user sudo"),
    Known(
        r"waiting for privilege escalation prompt",
        "sudo does not answer",
        "try there: sudo true; it may wait for a network's directory of users",
    ),
    # Python
    Known(r"interpreter '(?P<python>[^']+)' was not found", "{python} is not there", PYTHON),
    Known(
        r"minimum of Python version \S+ Current version: (?P<version>[\d.]*\d)",
        "its Python is {version}, which is too old",
        PYTHON,
    ),
    Known(r"SyntaxError: ", "its Python is too old: it does not know Ansible's language", PYTHON),
    # apt
    Known(r"Failed to update apt cache|Failed to fetch|No package matching", "", _APT),
    Known(r"dpkg was interrupted", "", "on the host: dpkg --configure -a"),
    Known(
        r"Failed to lock apt|Could not get lock",
        "",
        "another package manager is at work on the host; try again later",
    ),
    Known(r"No space left on device", "", "make room on the host's disk"),
)
"""The first that fits is taken."""

# Words of Ansible's that say nothing to whoever reads the fault.
_WRAPPING = re.compile(
    r"Task failed: |Action failed: |Module failed: |"
    r"Data could not be sent to remote host \S+\. Make sure this host can be reached over (?i:ssh): |"
    r"Failed to connect to the host via ssh: |The following modules failed to execute: [\w.]+\. |"
    r"Module result deserialization failed: No start of json char found "
)


def explain(task: TaskEvent) -> tuple[str, str | None]:
    """The fault of a task that failed or did not reach its host, and the mend where one is known."""
    fault, _, own_mend = task.message.partition("Mend: ")
    if own_mend:
        return f"{task.title}: {_WRAPPING.sub('', fault).strip()}", own_mend
    for known in FAULTS:
        if found := re.search(known.says, task.message, re.DOTALL):
            names = found.groupdict()
            clear = known.fault.format(**names) or f"{task.title}: {_said(task)}"
            return clear, known.mend.format(**names)
    if task.status == "unreachable":
        return _said(task), f"check the way to it: ssh {task.host} true"
    return f"{task.title}: {_said(task)}", None


def _said(task: TaskEvent) -> str:
    return _WRAPPING.sub("", task.message).strip()
