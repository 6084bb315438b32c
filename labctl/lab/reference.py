"""The reference page of inventories, generated: `python -m labctl.lab.reference > docs/reference/inventory.md`."""

from labctl.lab.pairing import VARIABLES

_HEAD = """# Inventories: a lab's hosts

Generated from `labctl.lab.pairing`; a test compares the two.

An inventory is the only description of a lab. Anything that `ansible-inventory --list` can print is one: a file, a folder,
a script, a plug-in for a cloud. `LAB` is, everywhere, a name under `inventory/` or a path. `inventory/example` is a
commented rack; `inventory/local` is the embedded lab.

| group | what its hosts are |
| --- | --- |
| `hypervisors` | run QEMU; two make a pair. One host with `ansible_connection: local` is the embedded lab |
| `observers` | observe the beats of pairs. Left out, or hypervisors all of them: each trial's destination observes |
| `monitoring` | not used by runs |

How a host is reached is said by Ansible's own variables: `ansible_host`, `ansible_port`, `ansible_user`,
`ansible_ssh_private_key_file`, `ansible_ssh_common_args`, `ansible_python_interpreter`, `ansible_become_password` and so on.
`ssh -G` is asked what they mean, so that `~/.ssh/config`, jump hosts and known hosts hold for labctl as they do for ssh.

## What labctl reads of a host

| variable | meaning |
| --- | --- |
"""

_TAIL = """
The playbooks read these too. What only they read stands in the README of each role (`playbooks/roles/*/README.md`).
Without `labctl_migration_interface` and `labctl_migration_address` migrations cross the interface that carries SSH; then campaigns must
leave the link as it is: `link: {bandwidth: none, mtu: none}`.
"""


def inventory_page() -> str:
    """The page as Markdown."""
    rows = [f"| `{name}` | {meaning} |\n" for name, (_, meaning) in VARIABLES.items()]
    return _HEAD + "".join(rows) + _TAIL


if __name__ == "__main__":
    print(inventory_page(), end="")
