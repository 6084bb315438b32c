"""Builds the guest: C and assembler in `src/`, made by gcc, ld and objcopy into `build/guest.elf`.

Standard library only, and no import of labctl: the package's build hook loads this file on its own.
The same sources, compiler and flags give the same bytes, from any directory.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "src"
IMAGE = HERE / "build" / "guest.elf"
TOOLS = ("gcc", "ld", "objcopy")

COMPILE = (
    *("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"),
    *("-ffreestanding", "-nostdlib"),
    "-fno-tree-loop-distribute-patterns",  # there is no memset() to turn a loop into
    "-mgeneral-regs-only",  # nobody enables SSE
    "-mno-red-zone",  # a fault would overwrite it
    *("-fno-pic", "-fno-pie", "-mcmodel=small"),  # linked for 1 MiB and loaded there
    *("-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables"),
    *("-march=x86-64", "-mtune=generic"),  # runs on -cpu qemu64
    "-frandom-seed=labctl",  # the same bytes every time
)
LINK = (
    *("-m", "elf_x86_64", "-nostdlib", "-static", "--strip-all"),
    "--build-id=none",  # the same bytes every time
    *("-z", "noexecstack", "-z", "max-page-size=4096"),  # segments right behind each other
    "--fatal-warnings",
)
# QEMU's multiboot loader takes 64-bit code in a 32-bit container only ("give a 32bit one").
CONTAINER = ("-O", "elf32-i386")


def build_guest(out_dir: Path) -> Path:
    """Compiles the guest to `out_dir`/guest.elf and returns its path.

    Raises RuntimeError, with the mend, when a tool is missing, or with its words when it fails.
    """
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise RuntimeError(f"no {', '.join(missing)} to build the guest with: apt install gcc")
    out_dir.mkdir(parents=True, exist_ok=True)
    defines = (f'-DSOURCE_ID="{source_id()}"', f"-ffile-prefix-map={SOURCES}=.")
    with tempfile.TemporaryDirectory(prefix="build-", dir=out_dir) as scratch:
        objects = []
        for source in (path for path in _sources() if path.suffix in {".S", ".c"}):
            objects.append(f"{scratch}/{source.name}.o")
            _run("gcc", *COMPILE, *defines, "-c", source.name, "-o", objects[-1])
        _run("ld", *LINK, "-T", "link.ld", *objects, "-o", f"{scratch}/guest64.elf")
        _run("objcopy", *CONTAINER, f"{scratch}/guest64.elf", f"{scratch}/guest.elf")
        return Path(scratch, "guest.elf").replace(out_dir / "guest.elf")


def guest_image() -> Path:
    """The guest's image, built first when there is none or when it comes from other sources.

    The image names the sources it was made of, so file times (which installers change) do not
    matter. Raises RuntimeError, with the mend, when it has to be built and cannot be.
    """
    if IMAGE.exists() and source_id().encode() in IMAGE.read_bytes():
        return IMAGE
    return build_guest(IMAGE.parent)


def source_id() -> str:
    """The SHA-256 of all sources and flags, as hex digits."""
    digest = hashlib.sha256(repr((COMPILE, LINK, CONTAINER)).encode())
    for source in _sources():
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


def guest_sha256(path: Path | None = None) -> str:
    """The SHA-256 of an image as hex digits, by default that of `guest_image()`."""
    return hashlib.sha256((path or guest_image()).read_bytes()).hexdigest()


def _sources() -> list[Path]:
    return sorted(path for path in SOURCES.iterdir() if path.suffix in {".S", ".c", ".h", ".ld"})


def _run(*command: str) -> None:
    environment = {**os.environ, "LC_ALL": "C", "SOURCE_DATE_EPOCH": "0"}
    done = subprocess.run(
        command, cwd=SOURCES, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"building the guest failed: {' '.join(command)}\n{done.stderr}")


if __name__ == "__main__":
    print(build_guest(IMAGE.parent))
