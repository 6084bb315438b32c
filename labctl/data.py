"""Where the files that travel with labctl are: campaigns, inventory, playbooks, dashboards.

They stand at the top level of a checkout and under `labctl/_data/` of an installed wheel. This is the
only place that knows both.
"""

from pathlib import Path

from labctl.errors import LabctlError

PACKAGE = Path(__file__).resolve().parent
TRAVELLING = ("campaigns", "inventory", "playbooks", "dashboards")


def data_root() -> Path:
    """The folder that holds `campaigns/`, `inventory/` and the rest: the checkout's, or the wheel's."""
    return PACKAGE.parent if in_checkout() else PACKAGE / "_data"


def in_checkout() -> bool:
    """Whether this labctl runs from a checkout, rather than from an installed wheel."""
    checkout = PACKAGE.parent
    return (checkout / "pyproject.toml").is_file() and (checkout / "playbooks").is_dir()


def data_path(name: str) -> Path:
    """The path of a file or folder that travels with labctl, such as `campaigns/quickstart.yaml`.

    Raises:
        LabctlError: when it is not there, which means that labctl was not installed whole.
    """
    top = Path(name).parts[0] if Path(name).parts else ""
    if top not in TRAVELLING:
        raise ValueError(f"{name!r} is not under one of {', '.join(TRAVELLING)}")
    path = data_root() / name
    if not path.exists():
        raise LabctlError(
            "this installation of labctl lacks the file",
            place=str(path),
            mend="install labctl again, from a checkout (make setup) or a wheel",
        )
    return path
