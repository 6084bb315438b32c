"""What a QEMU says of migrations by RDMA, asked without one: it is given an address without a host.

A QEMU that was built without RDMA does not know the protocol. One that refuses RDMA with a capability says so before it looks
at the address; any other finds that the host is missing, and nothing is listened on or connected to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .machine import Machine
from .protocol import RequestError

WORD = "rdma"
"""among the words of a combination: that RDMA carries the migration"""
_NOWHERE = "rdma::0"
_GOT_TO_THE_ADDRESS = "RDMA ERROR"
_COMMANDS = {"source": "migrate", "destination": "migrate-incoming"}
_TIMEOUT_S = 5.0

Starter = Callable[[], Awaitable[Machine]]
"""starts a QEMU that is asked"""


async def refusal(machine: Machine, role: str) -> str | None:
    """What a QEMU, as its capabilities are set, has against RDMA; None where that is only that it was given no host."""
    try:
        await machine.execute(_COMMANDS[role], {"uri": _NOWHERE}, timeout_s=_TIMEOUT_S)
    except RequestError as error:
        if error.code != "qmp":
            raise
        said = error.message.partition(": ")[2]
        return None if said.startswith(_GOT_TO_THE_ADDRESS) else said
    return None


async def refusals(
    start: Starter,
    role: str,
    combinations: list[list[str]],
    ask: Callable[[Machine, list[str]], Awaitable[str | None]],
) -> dict[str, str]:
    """Which combinations a QEMU refuses, with its words. `ask`: sets one up, asks, and takes it back.

    A source can be asked again and again. To a destination of a newer version an incoming migration has begun by the question,
    whatever it answers, so that each of them is asked once.
    """
    refused: dict[str, str] = {}
    once = role == "destination"
    machine: Machine | None = None
    try:
        for words in combinations:
            if machine is None:
                machine = await start()
            said = await ask(machine, words)
            if said is not None:
                refused[f"{role}:{'+'.join(words)}"] = said
            if once:
                used, machine = machine, None
                await used.end()
    finally:
        if machine is not None:
            await machine.end()
    return refused
