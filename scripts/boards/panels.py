"""Panels that look alike on all dashboards. Each has a title, and says what it shows."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

from scripts.boards.asking import SOURCE, Query, as_table, at_the_end, over_time

COLOURS: Final = {
    "prepare": "#8e8e8e", "boot": "#a5a5a5", "fill": "#bdbdbd", "baseline": "semi-dark-green", "setup": "#d6d6d6",
    "precopy": "semi-dark-blue", "switching": "semi-dark-red", "postcopy": "semi-dark-orange", "settle": "semi-dark-purple",
    "check": "#d6d6d6",
}  # fmt: skip
"""of phases: grey where nothing is measured"""

Panel = TypeVar(
    "Panel", bargauge.Panel, stat.Panel, statetimeline.Panel, table.Panel, timeseries.Panel
)


def curves(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    span: int = 12,
    height: int = 8,
    step: str = "",
) -> timeseries.Panel:
    """Values over time. `step`: no closer than this."""
    legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).show_legend(True)
    panel = timeseries.Panel().unit(unit).min(0).fill_opacity(8).show_points(VisibilityMode.NEVER)
    panel = panel.legend(legend.placement(LegendPlacement.BOTTOM))
    panel = panel.tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    return _framed(panel, title, about, span, height, over_time(queries, step))


def number(
    title: str, about: str, unit: str, query: Query, *, span: int = 4, fault: bool = False
) -> stat.Panel:
    """The newest value, large. `fault`: anything but 0 is one."""
    panel = stat.Panel().unit(unit).graph_mode(BigValueGraphMode.NONE).reduce_options(_newest())
    if fault:
        steps = [Threshold(value=None, color="green"), Threshold(value=1, color="red")]
        panel = panel.thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    else:  # Grafana's own thresholds make everything from 80 on red
        panel = panel.color_scheme(FieldColor().mode(FieldColorModeId.FIXED).fixed_color("text"))
    return _framed(panel, title, about, span, 4, at_the_end([query]))


def bars(
    title: str, about: str, unit: str, query: Query, *, span: int = 8, height: int = 8
) -> bargauge.Panel:
    """A bar for each series' newest value, of the same colour wherever it has the same name."""
    panel = bargauge.Panel().unit(unit).min(0).reduce_options(_newest())
    panel = panel.orientation(VizOrientation.HORIZONTAL).display_mode(BarGaugeDisplayMode.BASIC)
    panel = panel.color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    return _framed(panel, title, about, span, height, at_the_end([query]))


def states(
    title: str, about: str, phases: Sequence[str], *queries: Query, height: int, step: str = ""
) -> statetimeline.Panel:
    """A line for each series, coloured by its value: 1 is the first of the phases, 0 is none."""
    known = {"0": ValueMappingResult(text="", color="transparent", index=0)}
    for value, phase in enumerate(phases, 1):
        known[str(value)] = ValueMappingResult(text=phase, color=COLOURS[phase], index=value)
    panel = statetimeline.Panel().mappings([ValueMap(options=known)])
    panel = panel.show_value(VisibilityMode.AUTO).legend(VizLegendOptions().show_legend(False))
    return _framed(panel, title, about, 24, height, over_time(queries, step))


def rows(
    title: str, about: str, names: dict[str, str], *queries: Query, height: int
) -> table.Panel:
    """A row for each series, its labels and the value of each query in columns; `names` names them anew."""
    organized = {"excludeByName": {"Time": True}, "renameByName": names}
    panel = (
        table.Panel()
        .with_transformation(DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(DataTransformerConfig(id_val="organize", options=organized))
    )
    return _framed(panel, title, about, 24, height, as_table(queries))


def properties(**values: Any) -> list[DynamicConfigValue]:
    """Properties of one field, for an override; `__` in a name stands for its dot."""
    return [
        DynamicConfigValue(id_val=name.replace("__", "."), value=value)
        for name, value in values.items()
    ]


def _newest() -> ReduceDataOptions:
    return ReduceDataOptions().calcs(["lastNotNull"])


def _framed(
    panel: Panel,
    title: str,
    about: str,
    span: int,
    height: int,
    queries: Iterable[prometheus.Dataquery],
) -> Panel:
    panel = panel.title(title).description(about).span(span).height(height).datasource(SOURCE)
    for query in queries:
        panel = panel.with_target(query)
    return panel
