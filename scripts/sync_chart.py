#!/usr/bin/env python3
"""Bring the Helm chart in step with what it packs: rules, dashboards, kvwatch's options, its README's table.

A chart cannot read outside of its folder, so `helm/kvwatch/files` holds copies. Written are also the schema of
`config` in `values.schema.json`, from kvwatch's table of options, and the table of values in the chart's README, from
the comments in `values.yaml`. With `--check` nothing is written, and the exit code is 1 where something would be.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

import kvwatch
from kvwatch.config.option import Option, Section
from kvwatch.config.options import ROOT as OPTIONS

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "helm" / "kvwatch"
BEGIN, END = "<!-- values: written by scripts/sync_chart.py -->", "<!-- end of values -->"

# JSON types by an option's kind, as far as one follows from the other. `kvwatch check-config` knows the rest.
TYPES: dict[str, Any] = {
    "duration": {"type": ["string", "number"]},
    "list of durations": {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1, "maxItems": 4},
    "list of texts": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    "true or false": {"type": "boolean"},
    "ratio": {"type": "number"},
    "tokens": {"type": "integer", "minimum": 1},
    "requests": {"type": "integer", "minimum": 1},
    "bytes": {"type": "integer", "minimum": 1},
    "text": {"type": "string"},
    "word": {"type": "string"},
    "path": {"type": "string", "minLength": 1},
    "address": {"type": "string"},
    "URL": {"type": "string", "pattern": "^https?://"},
}


def option_schema(entry: Option | Section) -> dict[str, Any]:
    """The JSON schema of one key of kvwatch.yaml, and of all below it."""
    if isinstance(entry, Option):
        return {"description": entry.help} | TYPES.get(entry.kind, {})
    required = [e.key for e in entry.content.values() if isinstance(e, Option) and e.required]
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: option_schema(child) for key, child in entry.content.items()},
    }
    if required:
        schema["required"] = required
    if entry.is_list:
        schema = {"type": "array", "items": schema}
    return {"description": entry.help} | schema if entry.help else schema


def values_schema() -> str:
    """values.schema.json with the definition of `config` made from kvwatch's options."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    schema["definitions"]["config"] = option_schema(OPTIONS)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def described(text: str) -> Iterator[tuple[str, str]]:
    """(dotted key, description) of each value that values.yaml describes, and ("", title) where a section begins.

    Raises:
        ValueError: a key has neither a description nor keys below it that have one.
    """
    path: list[tuple[int, str]] = []
    words: list[str] = []
    bare: dict[str, int] = {}
    covered: int | None = None
    for number, line in enumerate(text.splitlines(), 1):
        indent = len(line) - len(line.lstrip())
        if title := re.match(r"# == (.+)", line):
            yield "", title[1]
        elif comment := re.match(r"\s*# (?:-- )?(.+)", line):
            words = [comment[1]] if "# -- " in line else [*words, comment[1]] if words else []
        elif key := re.match(r"\s*([A-Za-z]\w*):", line):
            if covered is not None and indent > covered:
                continue
            covered = None
            path = [(level, name) for level, name in path if level < indent] + [(indent, key[1])]
            dotted = ".".join(name for _, name in path)
            for parent in range(1, len(path)):
                bare.pop(".".join(name for _, name in path[:parent]), None)
            if words:
                yield dotted, " ".join(words)
                covered = indent
            else:
                bare[dotted] = number
            words = []
        elif not line.strip():
            words = []
    if bare:
        raise ValueError(f"values.yaml: no description for {bare}")


def value_at(values: Any, dotted: str) -> Any:  # noqa: ANN401 - whatever YAML holds
    """The value under a dotted key."""
    for name in dotted.split("."):
        values = values[name]
    return values


def values_table() -> str:
    """The Markdown tables of all values, one for each section."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    lines: list[str] = []
    for key, words in described(text):
        if not key:
            lines += ["", f"### {words}", "", "| value | default | meaning |", "|---|---|---|"]
        else:
            default = json.dumps(value_at(values, key), ensure_ascii=False).replace("|", "\\|")
            lines.append(f"| `{key}` | `{default}` | {words.replace('|', chr(92) + '|')} |")
    return "\n".join(lines).strip() + "\n"


def readme() -> str:
    """The chart's README with its table made anew."""
    text = (CHART / "README.md").read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n\n{values_table()}\n{END}{rest.split(END)[1]}"


def chart_yaml() -> str:
    """Chart.yaml with kvwatch's version as that of the application."""
    text = (CHART / "Chart.yaml").read_text(encoding="utf-8")
    return re.sub(r"^appVersion: .*$", f'appVersion: "{kvwatch.__version__}"', text, flags=re.MULTILINE)


def wanted() -> dict[Path, str | None]:
    """What each generated file should hold; None for one that should not be there."""
    files = CHART / "files"
    contents: dict[Path, str | None] = dict.fromkeys(path for path in files.rglob("*") if path.is_file())
    rules = ROOT / "alerts" / "kvwatch.rules.yaml"
    contents[files / rules.name] = rules.read_text(encoding="utf-8")
    for dashboard in sorted((ROOT / "dashboards").glob("*.json")):
        contents[files / "dashboards" / dashboard.name] = dashboard.read_text(encoding="utf-8")
    return contents | {
        CHART / "values.schema.json": values_schema(),
        CHART / "README.md": readme(),
        CHART / "Chart.yaml": chart_yaml(),
    }


def main() -> int:
    """Write what differs, or only say so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something is out of step")
    check = parser.parse_args().check
    stale = 0
    for path, content in wanted().items():
        if content == (path.read_text(encoding="utf-8") if path.is_file() else None):
            continue
        stale += 1
        sys.stdout.write(f"{path.relative_to(ROOT)} {'is out of step' if check else 'written'}\n")
        if not check and content is None:
            path.unlink()
        elif not check and content is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
