"""What surrounds the panels: variables, links between the dashboards, annotations from alerts."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

from dashboards.panels import SOURCE

FLEET_UID, ENGINE_UID = "kvwatch-fleet", "kvwatch-engine"
TAG = "kvwatch"


def frame(title: str, uid: str, description: str) -> builders.Dashboard:
    """A dashboard without panels and variables."""
    return (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG, "vllm"])
        .timezone("browser")
        .editable()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
    )


def source() -> builders.DatasourceVariable:
    """Which Prometheus."""
    variable = builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
    _strip(variable.build())
    return variable


def choice(name: str, label: str, metric: str, value: str, *, several: bool = False) -> builders.QueryVariable:
    """A variable with the values of the label ``value`` of ``metric``."""
    query = f"label_values({metric}, {value})"
    variable = (
        builders.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": query, "refId": name, "qryType": 1})
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    )
    _strip(variable.build())
    if several:
        everything = dashboard.VariableOption(text=["All"], value=["$__all"], selected=True)
        variable = variable.multi(True).include_all(True).all_value(".*").current(everything)
    return variable


def link(title: str, uid: str, tooltip: str) -> builders.DashboardLink:
    """A link to the other dashboard that keeps the time range and the data source."""
    return (
        builders.DashboardLink(title)
        .type(dashboard.DashboardLinkType.LINK)
        .icon("dashboard")
        .tooltip(tooltip)
        .url(f"/d/{uid}?${{datasource:queryparam}}")
        .keep_time(True)
    )


def _strip(variable: dashboard.VariableModel) -> None:
    """Take out what belongs to other kinds of variables: Grafana's types refuse it here."""
    variable.auto = variable.auto_min = variable.auto_count = None


class AlertMarks(dashboard.AnnotationQuery):
    """An annotation with what Grafana's Prometheus data source adds: how a mark is named."""

    def to_json(self) -> dict[str, object]:
        """The annotation's JSON."""
        words = {"titleFormat": "{{alertname}}", "textFormat": "{{model_name}} {{target}}", "tagKeys": "severity"}
        return {**super().to_json(), **words}


class Alerts(builders.AnnotationQuery):
    """Firing alerts of kvwatch's rules, as marks on every graph; there are none where the rules are not loaded."""

    def __init__(self, *matchers: str) -> None:
        where = ",".join(('alertname=~"Kvwatch.*"', 'alertstate="firing"', *matchers))
        self._internal = AlertMarks(
            name="Alerts", datasource=SOURCE, enable=True, icon_color="red", expr=f"ALERTS{{{where}}}"
        )


class RestartMarks(dashboard.AnnotationQuery):
    """An annotation for the minutes after a restart."""

    def to_json(self) -> dict[str, object]:
        """The annotation's JSON."""
        words = {"titleFormat": "Restarted", "textFormat": "{{model_name}} {{target}} {{engine}}", "tagKeys": "engine"}
        return {**super().to_json(), **words}


class Restarts(builders.AnnotationQuery):
    """Engines that have begun again, as marks on every graph for as long as a window of arrivals reaches back to it."""

    def __init__(self, *matchers: str) -> None:
        where = ",".join(('estimate=~"arrival_rate_.+"', 'reason="restart"', *matchers))
        engines = f"max by (model_name, target, engine) (kvwatch_estimate_valid{{{where}}} == bool 0)"
        self._internal = RestartMarks(
            name="Restarts", datasource=SOURCE, enable=True, icon_color="purple", expr=engines
        )
