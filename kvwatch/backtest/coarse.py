"""What it costs that a Prometheus scrapes seldom, as measured by thinning out scrapes that were a second apart."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from kvwatch.backtest.coverage import Coverage


@dataclass(frozen=True, slots=True)
class Cost:
    """What scrapes so far apart cost, against the same servers scraped each second.

    Attributes:
        interval_seconds: Time between two scrapes.
        judged_ratio: Share of the time with a valid ρ, over that at one second.
        service_rate_error: Median of |μ − μ at one second| / μ at one second, at the same moments.
        service_rate_error_p90: Its 90th percentile.
        page_delay_seconds: Median of how much later the first page came on ramps into overload.
        missed_ratio: Share of the ramps without a page before the queue, among those that had one at a second.
    """

    interval_seconds: float
    judged_ratio: float
    service_rate_error: float
    service_rate_error_p90: float
    page_delay_seconds: float
    missed_ratio: float


def measured() -> list[Cost]:
    """What the bench measured, the shortest interval first."""
    document = json.loads((files("kvwatch.backtest") / "coarse.json").read_text(encoding="utf-8"))
    return [Cost(**cost) for cost in document["costs"]]


def costs_of(coverage: Iterable[Coverage], known: list[Cost]) -> tuple[Cost, ...]:
    """The costs at the scrape intervals that the servers had: of each the nearest one that was measured."""
    found = {
        min(known, key=lambda cost: abs(cost.interval_seconds - c.interval_seconds))
        for c in coverage
        if known and c.interval_seconds > known[0].interval_seconds / 2
    }
    return tuple(sorted(found, key=lambda cost: cost.interval_seconds))
