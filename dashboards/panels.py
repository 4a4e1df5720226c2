"""Panels as both dashboards want them: one look, a description always, and words where nothing is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.style import PLAIN

SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
UNKNOWN = "unknown"
LAST = dashboard.FieldColorSeriesByMode.LAST

AnyPanel = TypeVar("AnyPanel", timeseries.Panel, stat.Panel, table.Panel, bargauge.Panel)


def _titled(panel: AnyPanel, title: str, description: str, width: int, height: int) -> AnyPanel:
    return panel.title(title).description(description).datasource(SOURCE).span(width).height(height)


def over_time(ref: str, expression: str, legend: str) -> prometheus.Dataquery:
    """A query for a graph."""
    return prometheus.Dataquery().ref_id(ref).expr(expression).legend_format(legend).range()


def at_end(ref: str, expression: str, legend: str = "") -> prometheus.Dataquery:
    """A query for the value at the end of the time range."""
    return prometheus.Dataquery().ref_id(ref).expr(expression).legend_format(legend).instant()


def as_rows(ref: str, expression: str) -> prometheus.Dataquery:
    """A query for a table at the end of the time range."""
    return at_end(ref, expression).format(PromQueryFormat.TABLE)


def graph(  # noqa: PLR0913 (a graph has that many sides)
    title: str, description: str, *, width: int = 12, height: int = 9, unit: str, from_zero: bool = True
) -> timeseries.Panel:
    """A graph, from zero unless said otherwise, with a legend below that shows the last values."""
    legend = (
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull"])
    )
    tooltip = common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.NONE)
    panel = (
        _titled(timeseries.Panel(), title, description, width, height)
        .unit(unit)
        .line_width(2)
        .fill_opacity(0)
        .show_points(common.VisibilityMode.NEVER)
        .legend(legend)
        .tooltip(tooltip)
        .no_value(UNKNOWN)
    )
    return panel.min(0) if from_zero else panel


def value(title: str, description: str, *, width: int, height: int = 5, unit: str = "") -> stat.Panel:
    """A big number without a picture of its past."""
    panel = (
        _titled(stat.Panel(), title, description, width, height)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .justify_mode(common.BigValueJustifyMode.CENTER)
        .text_mode(common.BigValueTextMode.VALUE)
        .wide_layout(False)
        .no_value(UNKNOWN)
        .thresholds(steps(PLAIN))
    )
    return panel.unit(unit) if unit else panel


def rows(title: str, description: str, *, width: int = 24, height: int) -> table.Panel:
    """A table."""
    panel = _titled(table.Panel(), title, description, width, height).no_value(UNKNOWN).min_width(60)
    return panel.show_header(True)


def bars(title: str, description: str, *, width: int, height: int, unit: str) -> bargauge.Panel:
    """Values side by side, as horizontal bars."""
    return (
        _titled(bargauge.Panel(), title, description, width, height)
        .unit(unit)
        .min(0)
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .show_unfilled(True)
        .sizing(common.BarGaugeSizing.MANUAL)
        .min_viz_height(16)
        .max_viz_height(36)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value(UNKNOWN)
    )


def text_size(pixels: int) -> common_builders.VizTextDisplayOptions:
    """A number that does not fill its panel."""
    return common_builders.VizTextDisplayOptions().value_size(pixels)


def steps(base: str, *more: tuple[float, str]) -> builders.ThresholdsConfig:
    """Colours by value: ``base`` below the first threshold, then that of the last one reached."""
    found = [dashboard.Threshold(value=None, color=base), *(dashboard.Threshold(v, c) for v, c in more)]
    return builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(found)


def words(texts: Mapping[int, tuple[str, str | None]] | Mapping[str, tuple[str, str | None]]) -> dashboard.ValueMap:
    """Values that are shown as a text, with a colour where one is given."""
    return dashboard.ValueMap(
        {
            str(key): dashboard.ValueMappingResult(text=text, color=color, index=index)
            for index, (key, (text, color)) in enumerate(texts.items())
        }
    )


def prop(identity: str, content: object) -> dashboard.DynamicConfigValue:
    """One property of an override."""
    return dashboard.DynamicConfigValue(identity, content)


def color(name: str) -> dashboard.DynamicConfigValue:
    """An override to one colour."""
    return prop("color", {"mode": "fixed", "fixedColor": name})


def dashed(width: int = 2) -> list[dashboard.DynamicConfigValue]:
    """Overrides to a dashed line."""
    return [prop("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}), prop("custom.lineWidth", width)]


def hidden_in(*, legend: bool, tooltip: bool = False) -> dashboard.DynamicConfigValue:
    """An override that leaves a series out of the legend, the tooltip or both."""
    return prop("custom.hideFrom", {"legend": legend, "tooltip": tooltip, "viz": False})


def hidden_column() -> dashboard.DynamicConfigValue:
    """An override that leaves a column out of a table and keeps it for links (Grafana 12.2 and later)."""
    return prop("custom.hideFrom", {"viz": True, "legend": False, "tooltip": False})


def right_axis(unit: str) -> list[dashboard.DynamicConfigValue]:
    """Overrides to an axis of its own on the right."""
    return [prop("custom.axisPlacement", "right"), prop("unit", unit)]


def band(panel: timeseries.Panel, lower: str, upper: str, fixed: str) -> timeseries.Panel:
    """Fill between two series and draw neither of them."""
    quiet = [prop("custom.lineWidth", 0), color(fixed), hidden_in(legend=True)]
    return panel.override_by_name(lower, quiet).override_by_name(
        upper, [*quiet, prop("custom.fillBelowTo", lower), prop("custom.fillOpacity", 18)]
    )


def by_last_value() -> builders.FieldColor:
    """Each line in the colour of its last value's threshold."""
    return builders.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS).series_by(LAST)


def shades(name: str) -> builders.FieldColor:
    """Lines in shades of one colour, where which is which matters less than their sum."""
    return builders.FieldColor().mode(dashboard.FieldColorModeId.SHADES).fixed_color(name)


def stacked() -> common_builders.StackingConfig:
    """Series on top of each other."""
    return common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A")


def threshold_line() -> common_builders.GraphThresholdsStyleConfig:
    """Thresholds as dashed lines."""
    return common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)


def descending(column: str) -> common_builders.TableSortByFieldState:
    """Highest first."""
    return common_builders.TableSortByFieldState().display_name(column).desc(True)


def ascending(column: str) -> common_builders.TableSortByFieldState:
    """Lowest first."""
    return common_builders.TableSortByFieldState().display_name(column).desc(False)


def transform(identity: str, options: Mapping[str, object]) -> dashboard.DataTransformerConfig:
    """A transformation of query results."""
    return dashboard.DataTransformerConfig(id_val=identity, options=options)


def columns(panel: table.Panel, names: Mapping[str, str], drop: Sequence[str]) -> table.Panel:
    """Join tables on their common labels; keep the columns ``names``, in their order, under the names given."""
    order = {old: index for index, old in enumerate(names)}
    return panel.transformations(
        [
            transform("merge", {}),
            transform(
                "organize",
                {
                    "excludeByName": dict.fromkeys(drop, True),
                    "indexByName": order,
                    "renameByName": dict(names),
                },
            ),
        ]
    )


def add(
    board: builders.Dashboard, title: str, panels: Sequence[Builder[dashboard.Panel]], *, closed: bool = False
) -> None:
    """Add a row with its panels to a dashboard."""
    made = builders.Row(title).collapsed(closed)
    if closed:
        for panel in panels:
            made = made.with_panel(panel)
    board.with_row(made)
    if not closed:
        for panel in panels:
            board.with_panel(panel)
