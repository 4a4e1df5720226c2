"""The engines of a pool of which nothing is known now, and what they had when they were last seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kvwatch.core.pool.evaluation import Times

EngineName = tuple[str, str]
"""(target, engine)."""
_MOST_REMEMBERED = 20_000
"""Engines that are remembered [engines]. Choice: memory; ten times the largest fleet, each of them restarting once
within ten minutes."""


@dataclass(slots=True)
class _Last:
    """When an engine was last in sight [unix s]; its last λ [requests/s], and when it had that."""

    seen_at: float
    known: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """Engines out of sight that their target may still have, and the last λ [requests/s] of all that have none now.

    An engine that is out of sight counts for an hour while its target does not answer, else for ten minutes.
    """

    gone: int
    rate: float


class Memory:
    """What engines had, for an hour."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._last: dict[EngineName, _Last] = {}

    def update(self, now: float, rates: Mapping[EngineName, float | None], targets: Mapping[str, bool]) -> Missing:
        """What is missing at ``now``: ``rates`` of the engines in sight, and which of the ``targets`` answer."""
        for name, rate in rates.items():
            last = self._last.pop(name, None) or _Last(now)  # the newest are at the end
            last.seen_at = now
            if rate is not None:
                last.known = rate, now
            self._last[name] = last
        recent = [(name, last) for name, last in self._last.items() if now - last.seen_at <= self._times.unreadable]
        self._last = dict(recent[-_MOST_REMEMBERED:])
        there = {name: last for name, last in self._last.items() if name[0] in targets}
        gone = [
            last
            for name, last in there.items()
            if name not in rates and (now - last.seen_at <= self._times.memory or not targets[name[0]])
        ]
        mute = [last for name, last in there.items() if name in rates and rates[name] is None]
        silent = [last.known for last in gone + mute if last.known is not None]
        return Missing(len(gone), sum(rate for rate, at in silent if now - at <= self._times.unreadable))
