"""The Fleet dashboard: which model is closest to its limit, when it gets there, and how many replicas it needs."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import fleet_rows as rows
from dashboards import fleet_tables as tables
from dashboards.frame import ENGINE_UID, Alerts, choice, frame, link, source
from dashboards.frame import FLEET_UID as UID
from dashboards.panels import add

_DESCRIPTION = (
    "Every model that kvwatch watches: how close its engines are to what they can sustain, when they get there, and "
    "how many replicas it takes."
)


def build() -> Dashboard:
    """The dashboard."""
    board = (
        frame("kvwatch / Fleet", UID, _DESCRIPTION)
        .with_variable(source())
        .with_variable(choice("model_name", "Model", "kvwatch_running_requests", "model_name", several=True))
        .link(link("Engine", ENGINE_UID, "One engine in detail"))
        .annotation(Alerts('model_name=~"$model_name|"'))
    )
    for panel in (*rows.verdict(), tables.models(), *rows.over_time()):
        board.with_panel(panel)
    add(board, "Engines: is one hot while others idle?", [tables.engines()])
    add(board, "Is anything not known?", tables.watching())
    return board.build()
