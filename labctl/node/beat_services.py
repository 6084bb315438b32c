"""Services of the observer: the beats of one trial at a time."""

from __future__ import annotations

import asyncio
from typing import Any

from .observer import Observer, wait_until
from .protocol import RequestError, pack
from .services import Handler, Params, Place, anchor


class BeatServices:
    """Holds the observer."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._observer: Observer | None = None
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.handlers: dict[str, Handler] = {
            "observe.start": self._observe,
            "observe.wait": self._wait_for_beats,
            "observe.state": self._beat_state,
            "observe.rate": self._beat_rate,
            "observe.take": self._take_beats,
        }

    async def close(self) -> None:
        """Stop observing."""
        if self._observer is not None:
            self._observer.close()
            self._observer = None

    async def _observe(self, params: Params) -> Any:
        await self.close()
        self._observer = Observer(self._place.state.directory, params["nonce"], self._beats_changed)
        return {"paths": self._observer.paths, **anchor()}

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
        observer.close()
        taken = observer.take()
        return {**taken, "records": pack(taken["records"]), **anchor()}
