"""What is shown, held against the truth; and the pages of the rules that ship, held against the load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np

from bench.fault_day.day import INTERVAL_SECONDS, WINDOWS, Day, Moment
from bench.fault_day.server import START, Server
from kvwatch.backtest.spells import Spell, joined, spells
from kvwatch.constants import HOUR_SECONDS, MINUTE_SECONDS
from kvwatch.estimate import KeyedEstimate
from kvwatch.promql.firing import Run
from kvwatch.promql.labels import Array, Labels
from kvwatch.promql.series import Stored
from kvwatch.shell.backtest.evaluate import own_rules

OFF = 0.2
"""How far a number may be off [1], beside what is by chance. Choice: as tests/core/test_each_input.py, where it is 0.14
without a fault."""
_SIGMAS = 3.0
"""Standard deviations of what is by chance [1]: of requests that are counted over other seconds than the truth's."""
_STRETCH_SECONDS = HOUR_SECONDS
"""Rules are evaluated over so much at a time [s]. Choice: an hour holds what a rule looks back."""
_PAGING_LOAD = 0.85
"""Load from which on a page is right [1]. Choice: where a ramp that goes on is about to saturate."""
_AFTERWARDS_SECONDS = 15 * MINUTE_SECONDS
"""How long a page may go on when the queue is gone [s]. Choice: the windows of the rules, and their keep_firing_for."""
_Number = tuple[float | None, float | None, float | None]
"""A value and the ends of its interval."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A number that is not the truth, or rests on what is too old."""

    at: float
    fault: str
    words: str


def wrong(moment: Moment, server: Server) -> Iterator[Wrong]:
    """Those of a moment. What is hidden may be shown for three intervals, as it was."""
    for engine in moment.engines:
        if engine.model_name.startswith("made-up"):
            continue
        found = engine.service_rate
        shown: list[tuple[str, str, float, _Number]]
        shown = [("service_rate", "μ", 0.0, (found.value, found.lower, found.upper))]
        for window, seconds in WINDOWS.items():
            shown.append(("arrival_rate", f"λ over {window}", seconds, _over(engine.arrival_rate, window)))
            shown.append(("utilization", f"ρ over {window}", seconds, _over(engine.utilization, window)))
        for name, words, seconds, (value, lower, upper) in shown:
            at = moment.hidden_since.get(name, moment.at)
            truth, chance = _truth(name, at, seconds, moment.known_since, server)
            if value is None:
                continue
            if moment.at - at > moment.intervals * INTERVAL_SECONDS:
                yield Wrong(moment.at, moment.fault, f"{words} {value:.3g} of {moment.at - at:.0f} s ago")
            elif abs(value - truth) > (OFF + chance) * truth and not holds(lower, upper, truth):
                yield Wrong(moment.at, moment.fault, f"{words} {value:.3g} for {truth:.3g}")


def _truth(name: str, at: float, seconds: float, known_since: float, server: Server) -> tuple[float, float]:
    """What is right over the last ``seconds``, or over as many as can be known, and how far off chance may be."""
    if name == "service_rate":
        return server.service_rate, 0.0
    start = max(at - seconds, known_since if known_since < at else 0.0)
    count = server.requests(start, at)
    rate = count / max(at - start, 1.0)
    return rate / (server.service_rate if name == "utilization" else 1.0), _SIGMAS / sqrt(max(count, 1))


def _over(found: KeyedEstimate, window: str) -> _Number:
    """Value and interval over a window."""
    return found.value.get(window), found.lower.get(window), found.upper.get(window)


def holds(lower: float | None, upper: float | None, truth: float) -> bool:
    """Whether the interval says that it may well be the truth."""
    return lower is not None and upper is not None and lower <= truth <= upper


@dataclass(frozen=True, slots=True)
class Paged:
    """A page: seconds of the day, and whether the load gave cause for it."""

    alert: str
    start: float
    end: float
    right: bool


def pages(day: Day, queued: list[float]) -> list[Paged]:
    """The pages of the day; ``queued`` are the seconds of the day at which requests waited or the load was high."""
    rules = own_rules()
    run, step = Run(rules), rules.interval
    whole = day.stored()
    found: dict[tuple[str, Labels], list[Spell]] = {}
    times = np.arange(START + MINUTE_SECONDS, START + day.seconds, step)
    for low in np.arange(START, START + day.seconds, _STRETCH_SECONDS):
        now = times[(times >= low) & (times < low + _STRETCH_SECONDS)]
        run.database.append(_between(whole, low, low + _STRETCH_SECONDS))
        for element in run.advance(now):
            if element.alert.severity == "critical":
                key = (element.alert.name, element.labels)
                found.setdefault(key, []).extend(spells(now, element.firing, step))
        run.forget(float(now[-1]))
    causes = np.array(queued)
    return [
        Paged(name, float(s.start - START), float(s.end - START), _right(causes, s.start - START, s.end - START))
        for (name, _), alert in sorted(found.items(), key=lambda item: item[0][0])
        for s in joined(alert)
    ]


def _between(whole: dict[Labels, Stored], low: float, high: float) -> dict[Labels, Stored]:
    result = {}
    for labels, series in whole.items():
        here = (series.at >= low) & (series.at < high)
        if not np.isnan(series.values[here]).all():
            result[labels] = Stored(series.at[here], series.values[here])
    return result


def _right(causes: Array, start: float, end: float) -> bool:
    """Whether there was a cause at its beginning, and it ended soon after the last one."""
    before = causes[(causes <= start + MINUTE_SECONDS) & (causes > start - _AFTERWARDS_SECONDS)]
    during = causes[causes <= end]
    return len(before) > 0 and bool(end - during[-1] <= _AFTERWARDS_SECONDS + MINUTE_SECONDS)


def is_cause(server: Server, at: float, waiting: int) -> bool:
    """Whether somebody on call would want to know."""
    return server.load(at) >= _PAGING_LOAD or waiting > 0
