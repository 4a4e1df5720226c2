"""The committed dashboards as data, for the tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from dashboards.typescript import all_panels

FOLDER = Path(__file__).resolve().parents[2] / "dashboards"
NAMES = ("fleet.json", "engine.json")


@cache
def text(name: str) -> str:
    """A committed dashboard as it is stored."""
    return (FOLDER / name).read_text(encoding="utf-8")


@cache
def board(name: str) -> dict[str, Any]:
    """A committed dashboard."""
    loaded: dict[str, Any] = json.loads(text(name))
    return loaded


def panels(name: str) -> list[dict[str, Any]]:
    """Its panels, without rows."""
    return list(all_panels(board(name)))


def queries(name: str) -> Iterator[tuple[str, str]]:
    """Each query of a dashboard with the place where it stands; variables and annotations too."""
    for panel in panels(name):
        for target in panel["targets"]:
            yield f"{panel['title']} / {target['refId']}", target["expr"]
    for variable in board(name)["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert found, variable
            yield f"variable {variable['name']}", found[1]
    for annotation in board(name)["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"]


def filled(expression: str, **values: str) -> str:
    """A query with its variables replaced; those that are not given become a plain word.

    Raises AssertionError where one is left.
    """
    known = {"__rate_interval": "1m", "window": "5m"} | values
    made = re.sub(r"\$\{?(\w+)(?::\w+)?\}?", lambda found: known.get(found[1], "x"), expression)
    assert "$" not in made, made
    return made
