"""Figures from the day of faults."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import Any

from bench.fault_day.__main__ import FILE


@cache
def _day() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def amount() -> str:
    """How many faults, and of how many kinds."""
    return f"{_day()['faults']:,} faults of {_day()['kinds']} kinds"


def views() -> str:
    """How many views were judged."""
    return f"{_day()['views']:,}"


def failures() -> str:
    """How often kvwatch itself failed."""
    return f"{_day()['internal_errors']:.0f}"


def arrivals() -> str:
    """How often λ or ρ was wrong."""
    counts = Counter(_day()["wrong_by_number"])
    return f"{counts['λ']} times λ and {counts['ρ']} times ρ"


def service_rate() -> str:
    """How often μ was off by more than a fifth and its interval did not hold the truth."""
    return f"{_day()['wrong_by_number'].get('μ', 0) / _day()['with_service_rate']:.1%}"


def interval() -> str:
    """How often the interval of μ did not hold the truth, with faults and without."""
    found = [day["service_rate_outside_interval"] / day["with_service_rate"] for day in (_day(), _day()["calm"])]
    return f"{found[0]:.1%} of those that had one, without a fault in {found[1]:.1%}"


def pages() -> str:
    """The pages for which the load gave no cause, with faults and without."""
    return f"{_wrong_pages(_day())}; without a fault {_wrong_pages(_day()['calm'])}"


def _wrong_pages(day: dict[str, Any]) -> str:
    wrong = Counter(page["alert"] for page in day["pages"] if not page["right"])
    said = " and ".join(f"{count} of `{name}`" for name, count in sorted(wrong.items()))
    return f"{sum(wrong.values())} of {len(day['pages'])}{f' ({said})' if said else ''}"
