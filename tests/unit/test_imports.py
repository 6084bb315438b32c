"""The rooms of the house import only what is below them (CONTRIBUTING.md draws it)."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "labctl"

# room -> what it may import besides itself; what those may import comes along.
BELOW: dict[str, set[str]] = {
    "errors": set(),
    "units": {"errors"},
    "data": {"errors"},
    "campaign": {"units", "errors"},
    "node": set(),
    "guest": set(),
    "lab": {"campaign", "node", "guest", "data"},
    "migration": {"lab"},
    "results": {"campaign", "node"},
    "events": {"campaign"},
    "controller": {"migration", "results", "events"},
    "playbook": {"lab"},
    "faults": {"playbook"},
    "provision": {"faults"},
    "virtual": {"provision"},
    "doctor": {"units", "data", "guest"},
    "analysis": {"results"},
    "report": {"analysis"},
    "monitoring": {"analysis", "events", "data"},
    "api": {"controller", "report"},
    "cli": {"api", "monitoring", "virtual", "doctor"},
}
PUBLIC = {"__init__", "__main__"}  # the package's own surface, above all rooms
NODE_THIRD_PARTIES = {"qemu"}
# Slow to import: what `labctl --help` loads imports these inside functions only.
HEAVY = {
    "pandas",
    "plotly",
    "pyarrow",
    "ansible_runner",
    "jinja2",
    "plotext",
    "scipy",
    "matplotlib",
    "prometheus_client",
    "google",
    "tenacity",
    "grafana_client",
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if "_data" not in p.parts)


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, at any depth of its code, relative ones made absolute."""
    package = [PACKAGE.name, *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield node.lineno, base
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def reachable(room: str) -> set[str]:
    below = BELOW[room]
    return below.union(*(reachable(other) for other in below)) if below else set()


def faults(path: Path) -> list[str]:
    room, found = room_of(path), []
    for line, name in imported(path):
        where = f"{path.relative_to(PACKAGE.parent)}:{line}: "
        top, *rest = name.split(".")
        if name.startswith("qemu.qmp.legacy"):
            found.append(where + "qemu.qmp.legacy is not to be used")
        if room in {"node", "guest"}:
            allowed = sys.stdlib_module_names | {"labctl"}
            if room == "node":
                allowed |= NODE_THIRD_PARTIES
            if top not in allowed:
                found.append(where + f"{room} may not depend on {top}")
        if top == "labctl" and rest and room not in PUBLIC:
            other = rest[0]
            known = other in BELOW
            if known and other != room and other not in reachable(room):
                found.append(where + f"{room} may not import {other}")
            if not known and other != "__version__":
                found.append(where + f"{other} is not a room")
    return found


def test_each_module_stands_in_a_room() -> None:
    strangers = {room_of(path) for path in modules()} - BELOW.keys() - PUBLIC
    assert not strangers, "new rooms are added to BELOW here and drawn in CONTRIBUTING.md"


def test_rooms_import_only_what_is_below() -> None:
    assert [fault for path in modules() for fault in faults(path)] == []


def test_node_shares_nothing_with_the_rest() -> None:
    for path in modules():
        if room_of(path) in {"node", "guest"}:
            own = f"labctl.{room_of(path)}"
            others = [name for _, name in imported(path) if name.startswith("labctl.")]
            assert all(name == own or name.startswith(own + ".") for name in others), path


@pytest.mark.parametrize("module", ["labctl", "labctl.campaign", "labctl.provision", "labctl.cli"])
def test_nothing_heavy_is_loaded_before_it_is_needed(module: str) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert HEAVY.isdisjoint(done.stdout.split())


def test_a_wrong_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule itself: a room that reaches up, relative imports and legacy QMP are found."""
    package = tmp_path / "labctl"
    monkeypatch.setattr("tests.unit.test_imports.PACKAGE", package)
    (package / "campaign").mkdir(parents=True)
    wrong = package / "campaign" / "models.py"
    wrong.write_text(
        "from labctl.lab import pair\nfrom ..report import page\nfrom qemu.qmp.legacy import X\n"
        "def f() -> None:\n    import labctl.cli\n"
    )
    text = "\n".join(faults(wrong))
    for part in ("import lab", "import report", "legacy", "import cli"):
        assert part in text
