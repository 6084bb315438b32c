"""The Ansible module of the role `settings`: see labctl_settings/record.py for what it does."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labctl_settings.record import Settings
from ansible.module_utils.labctl_settings.thing import Refused


def main() -> None:
    """Apply; say what changed (or would), with the differences, and what was left out and why."""
    module = AnsibleModule(
        argument_spec={
            "record": {"type": "path", "required": True},
            "wanted": {"type": "list", "elements": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    settings = Settings(Path(module.params["record"]), check=module.check_mode)
    fault = None
    try:
        settings.apply(module.params["wanted"])
    except Refused as error:
        fault = str(error)
    said = {
        "changed": bool(settings.changes),
        "msg": "; ".join(settings.changes),
        "changes": settings.changes,
        "skipped_things": settings.skipped,
        "diff": settings.differences,
    }
    if fault is not None:
        module.fail_json(**{**said, "msg": fault})
    module.exit_json(**said)


if __name__ == "__main__":
    main()
