"""One case at one scrape interval: what was estimated of it, and when the first page came."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.coarse.cases import Thinned
from kvwatch.backtest.coarse import Cost
from kvwatch.backtest.incidents import incidents
from kvwatch.core.options import CoreOptions
from kvwatch.facts import Settings
from kvwatch.promql.labels import Array
from kvwatch.shell.backtest.estimate import Job, estimate
from kvwatch.shell.backtest.evaluate import evaluate_rules, own_rules, wanted_names
from kvwatch.shell.backtest.run import span_of_recordings

QUEUE_SECONDS = 120.0
_GRID_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A case at one interval. ``service_rate``: μ on a grid of a minute, NaN where it is not known; times unix s."""

    case: str
    interval_seconds: float
    judged_ratio: float
    service_rate: Array
    page_at: float | None
    queue_at: float | None


def measure(recording: Path, every: int, work: Path) -> Measured:
    """Run the backtest over a recording thinned to a scrape each so many seconds."""
    rules, span = own_rules(), span_of_recordings([recording])
    folder = work / f"{recording.name}-{every}"
    options = {"windows_seconds": dict(CoreOptions().windows_seconds), "seeks_seats": False}
    source, wanted = Thinned(recording, every), wanted_names(rules)
    coverage = estimate(Job(recording.name, {}, source, Settings(), span.start, 15.0, wanted, folder, options))
    done = evaluate_rules([folder], rules, span.start, span.end, lambda _: None)
    (line,) = done.timelines.values()
    grid = np.arange(span.start + _GRID_SECONDS, span.end, _GRID_SECONDS)
    known = [line.value("service_rate", at) for at in grid.tolist()]
    found = incidents(done.queues, done.timelines, QUEUE_SECONDS, span.end)
    pages = [a.spell.start for a in done.alerting if a.severity == "critical"]
    return Measured(
        recording.name,
        float(every),
        coverage.judged_ratio or 0.0,
        np.array([np.nan if value is None else value for value in known]),
        min(pages, default=None),
        found[0].spell.start if found else None,
    )


def cost(cases: list[dict[int, Measured]], every: int, finest: int) -> Cost:
    """What an interval costs over all cases, against the finest one."""
    errors, delays, ratios, late = [], [], [], []
    for by_interval in cases:
        base, this = by_interval[finest], by_interval[every]
        difference = np.abs(this.service_rate / base.service_rate - 1)
        errors += difference[~np.isnan(difference)].tolist()
        ratios.append(this.judged_ratio / base.judged_ratio)
        if base.page_at is None or base.queue_at is None or base.page_at >= base.queue_at:
            continue  # at a second it was too late as well
        late.append(this.page_at is None or this.page_at >= base.queue_at)
        if this.page_at is not None:
            delays.append(this.page_at - base.page_at)
    return Cost(
        interval_seconds=float(every),
        judged_ratio=round(float(np.median(ratios)), 4),
        service_rate_error=round(float(np.median(errors)), 4),
        service_rate_error_p90=round(float(np.quantile(errors, 0.9)), 4),
        page_delay_seconds=round(float(np.median(delays)), 1) if delays else 0.0,
        missed_ratio=round(sum(late) / len(late), 4) if late else 0.0,
    )
