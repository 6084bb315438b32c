"""Who watches a run from outside: `labctl watch`, Prometheus."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from labctl.cli.console import tell
from labctl.events import Observer


@dataclass(frozen=True)
class Watched:
    """What the options of `labctl run` ask for."""

    metrics: str | None = None
    """where to serve metrics; empty: at the usual address"""
    remote_write: str | None = None
    """where to send samples"""

    @contextmanager
    def observers(self) -> Iterator[list[Observer]]:
        """Those that tell whoever watches, while the context is open. InputError, LabctlError."""
        from labctl.monitoring.livefile import LiveFile

        found: list[Observer] = [LiveFile()]
        with ExitStack() as opened:
            remote = None
            if self.remote_write is not None:
                from labctl.monitoring.remote import RemoteWriter
                from labctl.monitoring.sending import Target

                remote = RemoteWriter(Target(self.remote_write), tell)
                found.append(remote)
            if self.metrics is not None:
                from labctl.monitoring.discovery import announced
                from labctl.monitoring.live import LiveMetrics
                from labctl.monitoring.serving import served

                live = LiveMetrics(remote)
                found.append(live)
                url = opened.enter_context(served([live], self.metrics))
                opened.enter_context(announced(url))
                opened.enter_context(live.read_to_the_end())
                tell(f"metrics: {url}")
            if remote is not None:
                opened.enter_context(remote)  # ends first: its last words can still be read
            yield found
