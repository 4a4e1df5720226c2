"""λ of a pool of engines, right also while replicas come and go.

Each engine's λ is a mean over a window. When one of five equal engines leaves, the means of the other four need the
whole window to rise, and their plain sum is a fifth too low until then; when one comes, its mean is known long before
the others' have fallen. So what an engine had in the window counts for as long as the window reaches back to it: one
that has left fades out over the window, one that is younger than the window counts by its age. The sum is then exact
where the total is steady and the traffic moves over at once. One that was out of sight and comes back with the counters
that it had, has not left: its own mean counts again, and what was kept of it no longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt

_MOST_GONE = 20_000
"""Engines that have left, remembered for λ of their pool [engines]. Choice: memory; ten times the largest fleet, each
of them restarting once within five minutes."""


@dataclass(frozen=True, slots=True)
class Serving:
    """One engine: λ and its standard deviation by window [requests/s], and its age [s]."""

    name: tuple[str, str]
    rates: Mapping[str, float]
    deviations: Mapping[str, float]
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Flow:
    """λ of the pool with its standard deviation; ``settled`` while no engine has come or gone for a whole window."""

    rate: float
    deviation: float
    settled: bool


@dataclass(slots=True)
class _Last:
    """What an engine was last known to contribute [requests/s], when, and how old it was."""

    rate: float
    at: float
    age_seconds: float


class PoolArrivals:
    """Remembers the engines of the last window."""

    def __init__(self, windows_seconds: Mapping[str, float]) -> None:
        self._windows = windows_seconds
        self._longest = max(windows_seconds.values())
        self._last: dict[tuple[str, str], _Last] = {}
        self._away: dict[tuple[str, str], _Last] = {}
        """Engines that are out of sight, for good or not."""
        self._ended: list[_Last] = []
        """What engines had before they started again."""
        self._changed_at = float("-inf")

    def update(self, now: float, engines: Iterable[Serving]) -> Flow | None:
        """λ at ``now``; ``None`` while no engine's is known."""
        serving = list(engines)
        window = self._reference(serving)
        if window is None:
            return None
        seconds = self._windows[window]
        total, variance = 0.0, 0.0
        current: dict[tuple[str, str], _Last] = {}
        for engine in serving:
            rate, deviation = _share(engine, window, seconds)
            total += rate
            variance += deviation**2
            known = self._last.pop(engine.name, None)
            before = known if known is not None else self._away.pop(engine.name, None)
            if before is not None and _began_anew(engine, before, now, in_sight=known is not None):
                self._ended.append(before)
                self._changed_at = now
            if known is None:
                self._changed_at = now
            current[engine.name] = _Last(rate, now, engine.age_seconds)
        if self._last:
            self._changed_at = now
            self._away |= self._last
        self._last = current
        self._forget(now)
        gone = [*self._away.values(), *self._ended]
        total += sum(last.rate * max(0.0, 1 - (now - last.at) / seconds) for last in gone)
        return Flow(total, sqrt(variance), settled=now - self._changed_at >= self._longest)

    def _forget(self, now: float) -> None:
        """Keep what a window still reaches back to, and no more engines than memory allows."""
        self._ended = [last for last in self._ended if now - last.at < self._longest][-_MOST_GONE:]
        away = [(name, last) for name, last in self._away.items() if now - last.at < self._longest]
        self._away = dict(away[-_MOST_GONE:])

    def _reference(self, engines: Iterable[Serving]) -> str | None:
        """The longest window that an engine knows."""
        known = {window for engine in engines for window in engine.rates}
        return next((window for window in reversed(list(self._windows)) if window in known), None)


def _began_anew(engine: Serving, before: _Last, now: float, *, in_sight: bool) -> bool:
    """Whether its counters are others than before: it is younger than it was, or than the time it was out of sight."""
    return engine.age_seconds < before.age_seconds or (not in_sight and now - engine.age_seconds > before.at)


def _share(engine: Serving, window: str, seconds: float) -> tuple[float, float]:
    """What the engine had in the window, over the window's whole length, and its standard deviation."""
    if window in engine.rates:
        return engine.rates[window], engine.deviations.get(window, 0.0)
    longest = list(engine.rates)[-1]
    weight = min(1.0, engine.age_seconds / seconds)
    return engine.rates[longest] * weight, engine.deviations.get(longest, 0.0) * weight
