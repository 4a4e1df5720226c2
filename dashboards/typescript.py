"""Dashboards as TypeScript, for the compiler to check against Grafana's own types.

``python -m dashboards.typescript FOLDER FILE...`` writes one module a dashboard into ``FOLDER``:
the whole of it, and the options and custom field settings of each panel as the panel's plugin types them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_HEAD = """\
import type { AnnotationQuery, Dashboard } from '@grafana/schema';
%(imports)s

// Enumerations are strings in JSON.
type Plain<T> = unknown extends T ? T : T extends string ? `${T}` : T extends number | boolean | null | undefined ? T
  : T extends (infer Item)[] ? Plain<Item>[] : { [Key in keyof T]: Plain<T[Key]> };

// What Grafana's Prometheus data source adds to an annotation.
interface PrometheusAnnotation extends AnnotationQuery {
  expr: string; titleFormat: string; textFormat: string; tagKeys: string;
}
type Board = Plain<Omit<Dashboard, 'annotations'> & { annotations: { list: PrometheusAnnotation[] } }>;
"""
_PLUGINS = {
    "bargauge": ("BarGauge", ""),
    "stat": ("Stat", ""),
    "table": ("Table", "FieldConfig"),
    "timeseries": ("TimeSeries", "FieldConfig"),
}
"""Panel types in use: how their package of types is called, and what types the custom settings, if anything does."""


def all_panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel but rows, those within closed rows too."""
    for panel in board["panels"]:
        yield from panel.get("panels", []) if panel["type"] == "row" else [panel]


def module(board: dict[str, Any]) -> str:
    """The module for one dashboard. Raises KeyError for a type of panel that no package of types is known for."""
    imports = "\n".join(
        f"import type * as {name} from "
        f"'@grafana/schema/dist/esm/raw/composable/{kind}/panelcfg/x/{name}PanelCfg_types.gen';"
        for kind, (name, _) in _PLUGINS.items()
    )
    parts = [_HEAD % {"imports": imports}, f"export const dashboard: Board = {json.dumps(board, indent=2)};\n"]
    for panel in all_panels(board):
        name, custom = _PLUGINS[panel["type"]]
        number = panel["id"]
        parts.append(f"// {panel['title']}")
        options = json.dumps(panel.get("options", {}), indent=2)
        parts.append(f"export const options{number}: Partial<Plain<{name}.Options>> = {options};\n")
        if custom:
            settings = json.dumps(panel["fieldConfig"]["defaults"].get("custom", {}), indent=2)
            parts.append(f"export const custom{number}: Partial<Plain<{name}.{custom}>> = {settings};\n")
    return "\n".join(parts)


def main(folder: str, *files: str) -> None:
    """Write the modules."""
    for file in map(Path, files):
        text = module(json.loads(file.read_text(encoding="utf-8")))
        (Path(folder) / f"{file.stem}.ts").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
