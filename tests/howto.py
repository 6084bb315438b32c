"""The how-to on new algorithms, applied to a copy of labctl: what the page says is what is tested."""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "new-algorithm.md"
_BLOCK = re.compile(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """Each block of the page that names a file: the file, and what it gets."""
    return _BLOCK.findall(PAGE.read_text())


def apply_to(copy: Path) -> None:
    """A copy of what the page changes, changed as the page says."""
    for folder in ("labctl", "tests", "docs", "campaigns", "inventory", "playbooks"):
        shutil.copytree(
            ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", "data")
        )
    shutil.copy(ROOT / "pyproject.toml", copy)  # by which labctl knows that it is in a checkout
    for name, text in blocks():
        path = copy / name
        path.write_text(_changed(path.read_text(), text) if path.exists() else text)


def _changed(whole: str, text: str) -> str:
    """A class goes before the table, a row to the table's end, a definition in the place of the old one."""
    if text.startswith("class "):
        return _once(whole, "ALGORITHMS: Final", f"{text}\n\nALGORITHMS: Final")
    if text.startswith("    "):
        return _once(whole, '    "hybrid": Hybrid(),\n', f'    "hybrid": Hybrid(),\n{text}')
    name = text.partition(" = ")[0]
    (old,) = re.findall(rf"^{name} = .*\n", whole, re.MULTILINE)
    return _once(whole, old, text)


def _once(whole: str, old: str, new: str) -> str:
    assert whole.count(old) == 1, old
    return whole.replace(old, new)
