"""Scrapes kept in ``tests/data``."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(scope="session")
def scrape_bytes() -> Callable[[str], bytes]:
    """The bytes of a stored scrape by its name without the ending."""

    def read(name: str) -> bytes:
        return (DATA / "scrapes" / f"{name}.prom").read_bytes()

    return read


@pytest.fixture(scope="session")
def recorded_texts() -> list[str]:
    """Every 20th scrape of a real server, from idle to overload and back."""
    with gzip.open(DATA / "recordings" / "chat" / "scrapes.jsonl.gz", "rt") as lines:
        return [json.loads(line)["text"] for number, line in enumerate(lines) if number % 20 == 0]
