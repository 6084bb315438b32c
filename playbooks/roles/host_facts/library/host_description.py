"""The Ansible module of the role `host_facts`: what labctl's agent says of a host, without an agent."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labctl_node.describe import describe

_VERSION_TIMEOUT_S = 30


def version(program: str) -> dict[str, Any]:
    """Where a QEMU is, and what it says of itself; nulls where there is none."""
    path = shutil.which(program)
    if path is None:
        return {"path": None, "version": None}
    done = subprocess.run(
        [path, "--version"],
        capture_output=True,
        text=True,
        timeout=_VERSION_TIMEOUT_S,
        check=False,
    )
    return {"path": path, "version": done.stdout.partition("\n")[0] or None}


def main() -> None:
    """Describe; nothing is changed."""
    module = AnsibleModule(
        argument_spec={"qemus": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    qemus = {program: version(program) for program in module.params["qemus"]}
    module.exit_json(changed=False, host={**describe(), "qemus": qemus})


if __name__ == "__main__":
    main()
