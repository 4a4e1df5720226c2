"""The committed results, and their page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from bench.sensitivity import report

PATH = Path(__file__).parents[1] / "results" / "sensitivity.json"


def load() -> dict[str, Any]:
    """What was found when it was last tried."""
    found: dict[str, Any] = orjson.loads(PATH.read_bytes())
    return found


def rows() -> list[dict[str, Any]]:
    """The constants that were tried."""
    found: list[dict[str, Any]] = load()["constants"]
    return found


def page() -> str:
    """The page of the results that are there."""
    return report.text(load())
