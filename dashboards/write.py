"""From builders to the committed JSON, the same to the byte each time."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from types import MappingProxyType

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel, RowPanel
from grafana_foundation_sdk.models.table import Options

from dashboards import engine, fleet

SCHEMA_VERSION = 39
"""That of Grafana 10.4: later versions migrate from it, and nothing here is newer."""

DASHBOARDS: MappingProxyType[str, Callable[[], Dashboard]] = MappingProxyType(
    {"fleet.json": fleet.build, "engine.json": engine.build}
)
"""How each file in this folder is made."""


def to_json(dashboard: Dashboard) -> str:
    """The dashboard as text, with panels numbered in their order."""
    dashboard.schema_version = SCHEMA_VERSION
    numbers = count(1)
    for panel in dashboard.panels or []:
        inner: list[Panel] = panel.panels if isinstance(panel, RowPanel) else []
        panel.id_val = next(numbers)
        for each in inner:
            each.id_val = next(numbers)
            _strip(each)
        if isinstance(panel, Panel):
            _strip(panel)
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _strip(panel: Panel) -> None:
    """Take out a table's footer: Grafana 13 types it otherwise, and without one no version shows any."""
    if isinstance(panel.options, Options):
        panel.options.footer = None
