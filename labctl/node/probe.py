"""What the QEMU at hand can do, asked of it: version, machine types, capabilities, and what it refuses together.

An accelerator is tried, not assumed: KVM counts only when the built-in guest boots and beats in it within a second and
writes faster there than under TCG (a nested /dev/kvm can be fifty times slower than emulation).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

from . import describe, local_pipes, procfs, qemu_build, rdma, rdma_questions, shaping
from .beats import PHASE_RUN, Beat, BeatParser
from .command_line import find_qemu
from .machine import Machine
from .protocol import RequestError

START_TIMEOUT_S = 10.0
QMP_TIMEOUT_S = 5.0
BEAT_LIMITS_S = {"kvm": 1.0, "tcg": 20.0}
"""Until the first beat, and from there to a measured rate. Emulation always works, on a busy machine later."""
_RATE_WINDOW_S = 0.3
_LOOK_S = 0.005
_FULL_SPEED_BYTES_PER_S = 64 << 30
_TRIAL_MEMORY_BYTES = 64 << 20
_TRIAL_WS_BYTES = 16 << 20


async def probe(
    qemu: str,
    machine_type: str,
    combinations: list[list[str]],
    directory: Path,
    accelerator: str = "tcg",
    interface: str | None = None,
) -> dict[str, Any]:
    """Capabilities of one QEMU on this host, asked of a source and of a destination.

    :param combinations: lists of what is set together, capabilities (``multifd``), parameters
        (``multifd-compression=zstd``), and ``rdma`` where that carries it; what is refused comes back with QEMU's words
    :param accelerator: what machines will run with: some capabilities are one's own
    :param interface: that migrations cross, and whose RDMA device they use
    """
    answers: dict[str, Any] = {"path": find_qemu(qemu), "refused": {}}
    answers["rdma_port"] = rdma.find(interface) if interface else None
    for role in ("source", "destination"):
        spec = {
            "name": f"probe-{role}", "qemu": qemu, "machine_type": "none",
            "accelerator": accelerator, "dirty_ring": True, "incoming": role == "destination",
        }  # fmt: skip
        start = partial(Machine.start, spec, directory / f"probe-{role}.log", START_TIMEOUT_S)
        machine = await start()
        try:
            if role == "source":
                answers.update(await _describe(machine, machine_type))
            asked = [words for words in combinations if _knows(answers, words)]
            for words in asked:
                said = None if rdma_questions.WORD in words else await _refusal(machine, words)
                if said is not None:
                    answers["refused"][f"{role}:{'+'.join(words)}"] = said
            if role == "source":
                answers["rdma"] = await rdma_questions.refusal(machine, role) is None
        finally:
            await machine.end()
        if answers["rdma"] and answers["rdma_port"]:
            by_rdma = [words for words in asked if rdma_questions.WORD in words]
            ask = partial(_refusal, role=role)
            answers["refused"].update(await rdma_questions.refusals(start, role, by_rdma, ask))
    answers["memory_available_bytes"] = procfs.available_memory_bytes()
    answers["cpus"] = len(os.sched_getaffinity(0))
    answers["netem_refused"] = shaping.netem_refused()
    answers["userfaultfd"] = "destination:postcopy-ram" not in answers["refused"]
    answers["host"] = describe.describe()
    return answers


async def _describe(machine: Machine, machine_type: str) -> dict[str, Any]:
    version = await machine.execute("query-version", timeout_s=QMP_TIMEOUT_S)
    number = version["qemu"]
    machines = await machine.execute("query-machines", timeout_s=QMP_TIMEOUT_S)
    pinned = next(
        (m["name"] for m in machines if machine_type in (m["name"], m.get("alias"))), None
    )
    if pinned is None:
        raise RequestError("machine-type", f"this QEMU has no machine type {machine_type!r}")
    capabilities = await machine.execute("query-migrate-capabilities", timeout_s=QMP_TIMEOUT_S)
    return {
        "version": f"{number['major']}.{number['minor']}.{number['micro']}",
        "package": version.get("package", ""),
        "build": await qemu_build.describe(machine),
        "machine_type": pinned,
        "capabilities": sorted(c["capability"] for c in capabilities),
        "parameters": await machine.execute("query-migrate-parameters", timeout_s=QMP_TIMEOUT_S),
    }


def _split(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Capabilities and parameters."""
    names = [word for word in words if "=" not in word and word != rdma_questions.WORD]
    return names, dict(word.split("=", 1) for word in words if "=" in word)


def _knows(answers: dict[str, Any], words: list[str]) -> bool:
    """Whether the QEMU has all that is asked for: what it has not, it need not be asked about."""
    names, parameters = _split(words)
    return set(names) <= set(answers["capabilities"]) and set(parameters) <= set(
        answers["parameters"]
    )


async def _refusal(machine: Machine, words: list[str], role: str | None = None) -> str | None:
    """QEMU's words where it refuses a combination; with a role also what that end has against it by RDMA."""
    names, parameters = _split(words)
    at_rest = await machine.execute("query-migrate-parameters", timeout_s=QMP_TIMEOUT_S)
    said = None
    try:
        await set_capabilities(machine, dict.fromkeys(names, True))
        await set_parameters(machine, parameters)
        if role is not None:
            said = await rdma_questions.refusal(machine, role)
    except RequestError as error:
        said = error.message
    # What was set last may forbid that what was set first is taken back: parameters, then capabilities.
    await set_parameters(machine, {name: at_rest[name] for name in parameters})
    await set_capabilities(machine, dict.fromkeys(names, False))
    return said


async def set_parameters(machine: Machine, values: dict[str, Any]) -> None:
    """Set migration parameters, numbers in words too. :raise RequestError: ``qmp`` when QEMU refuses."""
    arguments = {
        name: int(value) if str(value).isdigit() else value for name, value in values.items()
    }
    if arguments:
        await machine.execute("migrate-set-parameters", arguments, timeout_s=QMP_TIMEOUT_S)


async def set_capabilities(machine: Machine, states: dict[str, bool]) -> None:
    """Set migration capabilities. :raise RequestError: ``qmp`` when QEMU refuses."""
    arguments = {"capabilities": [{"capability": n, "state": s} for n, s in states.items()]}
    await machine.execute("migrate-set-capabilities", arguments, timeout_s=QMP_TIMEOUT_S)


async def try_accelerators(
    qemu: str, machine_type: str, kernel: str, directory: Path
) -> dict[str, Any]:
    """Boot the built-in guest under each accelerator.

    :return: ``{"tcg": {...}, "kvm": {...}, "chosen": name}`` with ``first_beat_ms``, ``write_bytes_per_s`` or ``reason``
    """
    found: dict[str, Any] = {}
    for name in ("tcg", "kvm"):
        if name == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
            found[name] = {"works": False, "reason": "no usable /dev/kvm"}
            continue
        found[name] = await _try_accelerator(name, qemu, machine_type, kernel, directory)
    kvm, tcg = found["kvm"], found["tcg"]
    if not kvm["works"] and not tcg["works"]:
        raise RequestError(
            "accelerator",
            f"the built-in guest does not boot: tcg: {tcg['reason']}; kvm: {kvm['reason']}",
        )
    if kvm["works"] and tcg["works"] and kvm["write_bytes_per_s"] <= tcg["write_bytes_per_s"]:
        kvm["reason"] = "slower than TCG on this host"
    found["chosen"] = "kvm" if kvm["works"] and not kvm.get("reason") else "tcg"
    return found


async def _try_accelerator(
    name: str, qemu: str, machine_type: str, kernel: str, directory: Path
) -> dict[str, Any]:
    path = directory / f"accelerator-{name}.pipe"
    beats = local_pipes.make(str(path))
    spec = {
        "name": f"accelerator-{name}", "qemu": qemu, "machine_type": machine_type, "accelerator": name, "vcpus": 1,
        "memory_bytes": _TRIAL_MEMORY_BYTES, "kernel": kernel, "beats_pipe": str(path),
        "append": f"nonce=1 ws={_TRIAL_WS_BYTES} rate={_FULL_SPEED_BYTES_PER_S} pattern=sequential fill=zero vcpus=1 seed=1 beat_us=500",
    }  # fmt: skip
    machine: Machine | None = None
    started = time.monotonic()
    try:
        machine = await Machine.start(spec, directory / f"accelerator-{name}.log", START_TIMEOUT_S)
        return await _watch(machine, beats, started, BEAT_LIMITS_S[name])
    except RequestError as error:
        return {"works": False, "reason": error.message}
    finally:
        os.close(beats)
        path.unlink()
        if machine is not None:
            await machine.end()


async def _watch(machine: Machine, beats: int, started: float, limit_s: float) -> dict[str, Any]:
    parser = BeatParser()
    first: float | None = None
    window: list[tuple[float, int]] = []
    deadline = started + limit_s
    while True:
        try:
            data = os.read(beats, 1 << 16)
        except BlockingIOError:
            data = b""
            # Short against the windows here, and no wake-up for each byte of a beat.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(machine.ended.wait(), _LOOK_S)
                return {"works": False, "reason": f"QEMU ended: {machine.log_tail()}"}
        if machine.gave_up.is_set():
            return {"works": False, "reason": f"it gave up: {machine.guest_words.strip()}"}
        now = time.monotonic()
        for record in parser.feed(data):
            if isinstance(record, Beat):
                if first is None:
                    first = now
                    deadline = now + limit_s
                if record.phase == PHASE_RUN:
                    window.append((now, record.work[0]))
        if window and window[-1][0] - window[0][0] >= _RATE_WINDOW_S:
            (t0, w0), (t1, w1) = window[0], window[-1]
            assert first is not None
            return {
                "works": True,
                "first_beat_ms": (first - started) * 1000,
                "write_bytes_per_s": round((w1 - w0) * 4096 / (t1 - t0)),
            }
        if now >= deadline:
            what = "no beat" if first is None else "it did not reach its full speed"
            return {"works": False, "reason": f"{what} within {limit_s:g} s"}
