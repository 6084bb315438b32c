"""OpenMetrics text, gathered. https://prometheus.io/docs/specs/om/open_metrics_spec/

In such a text the samples of a series stand together, and its metric's series; but they come trial by trial, and a large run's fit
no memory. So those of each series are kept apart, on the disk when they are many, and put together in the end. The series of one
histogram go moment by moment, all of them.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from labctl.monitoring.metric import PREFIX, MetricInfo
from labctl.monitoring.metrics import all_metrics

Moments = Iterable[tuple[int, float]]
"""times of day in ms, and values"""
BOUND: Final = "le"
"""the label in which the series of a histogram differ"""
MAX_HELD: Final = 500_000
"""lines in memory"""
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass
class _Group:
    """A series, or those of one histogram."""

    path: Path
    """its lines on the disk, if there are any"""
    held: list[str] = field(default_factory=list)
    """the lines behind those"""
    last_ms: dict[str, int] = field(default_factory=dict)
    """by series: its last moment"""


class Gathering:
    """Samples of series, kept below a folder of its own.

    :ivar samples: how many have been added
    :ivar newest_ms: the last moment of all
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._metrics: dict[str, dict[str, _Group]] = {}
        """by the metric's name and its labels"""
        self._count = 0
        self._held = 0
        self.samples = 0
        self.newest_ms = 0

    def add(
        self, metric: MetricInfo, labels: Mapping[str, str], moments: Moments, ending: str = ""
    ) -> None:
        """Add samples of a series. One that is not after the one before it is put a millisecond behind: a series has one value
        a moment.
        """
        groups = self._metrics.setdefault(metric.name, {})
        which = _labels({name: value for name, value in labels.items() if name != BOUND})
        if which not in groups:
            self._count += 1
            groups[which] = _Group(self._folder / f"{self._count}.part")
        group = groups[which]
        series = f"{metric.full_name}{ending}{{{_labels(labels)}}}"
        last_ms, before = group.last_ms.get(series, -1), len(group.held)
        for t_ms, value in moments:
            last_ms = max(t_ms, last_ms + 1)
            group.held.append(f"{series} {value:.17g} {last_ms // 1000}.{last_ms % 1000:03d}\n")
        group.last_ms[series] = last_ms
        self.newest_ms = max(self.newest_ms, last_ms)
        added = len(group.held) - before
        self.samples += added
        self._held += added
        if self._held > MAX_HELD:
            self._put_down()

    def join(self, into: IO[str]) -> None:
        """Write the whole text."""
        for metric in all_metrics():
            if metric.name not in self._metrics:
                continue
            name, about = PREFIX + metric.name, metric.about.translate(_ESCAPES)
            into.write(f"# HELP {name} {about}\n# TYPE {name} {metric.kind}\n")
            for group in self._metrics[metric.name].values():
                if group.path.exists():
                    with group.path.open(encoding="utf-8", newline="") as part:
                        shutil.copyfileobj(part, into)
                into.writelines(group.held)
        into.write("# EOF\n")

    def _put_down(self) -> None:
        for groups in self._metrics.values():
            for group in groups.values():
                if group.held:
                    with group.path.open("a", encoding="utf-8", newline="") as part:
                        part.writelines(group.held)
                    group.held.clear()
        self._held = 0


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
