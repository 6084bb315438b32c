"""Services of the observer, and of a relay to an observer on another host: the beats of one trial at a time."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, Callable

from .observer import Observer
from .patience import longer
from .protocol import RequestError, event, pack
from .relay import Relay
from .services import Handler, Params, Place, Send, anchor

TELL_PERIOD_S = 0.2
"""of what was seen of the guest, for those who watch"""


class BeatServices:
    """Holds the observer, or the relay; `send` is told now and then what the beats say."""

    def __init__(self, place: Place, send: Send) -> None:
        self._place = place
        self._send = send
        self._telling: asyncio.Task[None] | None = None
        self._observer: Observer | None = None
        self._relay: Relay | None = None
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.handlers: dict[str, Handler] = {
            "observe.start": self._observe,
            "observe.wait": self._wait_for_beats,
            "observe.state": self._beat_state,
            "observe.rate": self._beat_rate,
            "observe.take": self._take_beats,
            "observe.clocks": self._clocks,
            "relay.start": self._start_relay,
            "relay.stop": self._stop_relay,
        }

    async def close(self) -> None:
        """Stop observing, and relaying."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        if self._observer is not None:
            self._observer.close()
            self._observer = None
        await self._stop_relay({})

    async def _observe(self, params: Params) -> Any:
        await self.close()
        self._observer = Observer(
            self._place.state.directory,
            params["nonce"],
            self._beats_changed,
            door_address=params.get("door_address"),
            relayed=params.get("relayed", ()),
        )
        self._telling = self._loop.create_task(self._tell(self._observer))
        door = self._observer.door
        return {
            "paths": self._observer.paths,
            "door": door.describe() if door is not None else None,
            **anchor(),
        }

    async def _tell(self, observer: Observer) -> None:
        while not observer.closed:
            await asyncio.sleep(TELL_PERIOD_S)
            self._send(event("beats", observer.brief()))

    async def _start_relay(self, params: Params) -> Any:
        await self._stop_relay({})
        loop = asyncio.get_running_loop()
        where = (params["address"], params["port"], params["token"])
        self._relay = await loop.run_in_executor(
            None, Relay, self._place.state.directory, params["nonce"], params["side"], *where
        )
        return {"path": self._relay.path, **anchor()}

    async def _stop_relay(self, _params: Params) -> Any:
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.close()

    async def _clocks(self, params: Params) -> Any:
        """Wait until every relay is there and its clock known; how far each is behind this one's."""
        observer = self._beats
        await wait_until(
            observer,
            lambda: observer.compared,
            self._changed,
            "the comparison of clocks with the relays",
            params["timeout_s"],
        )
        return observer.clocks

    def _beats_changed(self) -> None:
        """Called on the observer's thread."""
        self._loop.call_soon_threadsafe(self._changed.set)

    @property
    def _beats(self) -> Observer:
        if self._observer is None:
            raise RequestError("order", "observe.start comes first")
        return self._observer

    async def _wait_for_beats(self, params: Params) -> Any:
        """Wait until a side beats: `phase` reached, `reports` there, or `beats` more than it had."""
        observer = self._beats
        side = params["side"]
        wanted_count = observer.count[side] + params.get("beats", 0)

        def met() -> bool:
            last = observer.last[side]
            if last is None or observer.count[side] < wanted_count:
                return False
            if "phase" in params and observer.state()["sides"][side]["phase"] != params["phase"]:
                return False
            return len(observer.reports) >= int(params.get("reports", 0))

        await wait_until(observer, met, self._changed, params["name"], params["timeout_s"])
        return observer.state()

    async def _beat_state(self, _params: Params) -> Any:
        return self._beats.state()

    async def _beat_rate(self, params: Params) -> Any:
        return self._beats.write_rate(params["since_ns"])

    async def _take_beats(self, _params: Params) -> Any:
        """All beats of the trial, packed; the observer is closed."""
        observer, self._observer = self._beats, None
        clocks = observer.clocks
        observer.close()
        taken = observer.take()
        return {**taken, "records": pack(taken["records"]), "clocks": clocks, **anchor()}


async def wait_until(
    observer: Observer,
    condition: Callable[[], bool],
    changed: asyncio.Event,
    name: str,
    timeout_s: float,
    poll_s: float = 0.05,
) -> None:
    """Wait for a condition that the observer's thread brings about.

    :raise RequestError: ``timeout``, with the wait's name; ``order`` when the observer was closed meanwhile; ``relay``; ``bug``
    """
    timeout_s = longer(timeout_s)
    deadline = time.monotonic() + timeout_s
    while not condition():
        if observer.fault is not None:
            raise observer.fault
        if observer.closed:
            raise RequestError("order", f"{name}: the observer was closed")
        left = deadline - time.monotonic()
        if left <= 0:
            raise RequestError("timeout", f"{name}: not within {timeout_s:g} s")
        changed.clear()
        if condition():
            return
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(changed.wait(), min(left, poll_s))
