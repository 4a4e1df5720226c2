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
        for each in (panel, *panel.panels) if isinstance(panel, RowPanel) else (panel,):
            each.id_val = next(numbers)
            if isinstance(each, Panel) and isinstance(each.options, Options):
                each.options.footer = None  # Grafana 13 types it otherwise; without one all versions show none
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
