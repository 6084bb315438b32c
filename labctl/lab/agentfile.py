"""The agent as one file: `labctl.node` and qemu.qmp in a zipapp, made at run time and cached by what is in it.

Beside each module lies what this Python makes of it, so that a node of the same version starts in half the time, which on an
emulated host is seconds for each agent; another version reads the module.
"""

import compileall
import hashlib
import tempfile
import zipapp
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from py_compile import PycInvalidationMode
from shutil import copytree, ignore_patterns

import platformdirs

import labctl.node
from labctl.errors import LabctlError

_LEFT_OUT = ignore_patterns("__pycache__", "*.pyc", "legacy.py", "qmp_shell.py", "qmp_tui.py")


def agent_file() -> Path:
    """The zipapp that a node runs; its name holds the hash of its content."""
    import qemu.qmp

    parts = {
        "labctl/node": Path(labctl.node.__path__[0]),
        "qemu/qmp": Path(qemu.qmp.__path__[0]),
    }
    digest = _digest(parts)
    cache = Path(platformdirs.user_cache_dir("labctl")) / "agent"
    target = cache / f"agent-{digest[:16]}.pyz"
    if target.exists():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            tree = Path(scratch) / "tree"
            for name, source in parts.items():
                copytree(source, tree / name, ignore=_LEFT_OUT)
            (tree / "labctl" / "__init__.py").touch()
            (tree / "labctl" / "node" / "__main__.py").rename(tree / "__main__.py")
            compileall.compile_dir(
                tree,
                quiet=2,
                legacy=True,  # where zipimport looks for it
                stripdir=str(tree),
                invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
            )
            made = Path(scratch) / "agent.pyz"
            zipapp.create_archive(tree, made, compressed=True)
            made.replace(target)
    except OSError as error:
        raise LabctlError(
            f"the agent's file cannot be made: {error.strerror}",
            place=str(target),
            mend="make the cache folder writable, or set XDG_CACHE_HOME",
        ) from None
    return target


def _digest(parts: dict[str, Path]) -> str:
    digest = hashlib.sha256(MAGIC_NUMBER)
    for name, folder in sorted(parts.items()):
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{name}/{path.relative_to(folder)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
