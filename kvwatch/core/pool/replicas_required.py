"""How many replicas to ask for: up at once, down late, and never down because something is not known."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from kvwatch.constants import TINY
from kvwatch.estimate import Estimate
from kvwatch.queueing.capacity import replicas_required

BAND_RATIO = 0.1
"""Least margin that a smaller number of replicas must leave [1]. Choice: λ moves by as much within minutes in any
traffic; half lets the number flap, double holds a spare replica in a fleet of ten for good."""
BAND_DEVIATIONS = 3.0
"""The same in standard deviations of λ [sd]. Choice: one unwarranted step down in a thousand."""
WIDEST_BAND_RATIO = 0.5
"""Widest such margin [1]. Choice: with little traffic λ is hardly known, and the number must still come down some
day."""


@dataclass(frozen=True, slots=True)
class Need:
    """λ/(μ·target ρ) in replicas, before it is rounded, and the relative standard deviation of λ."""

    replicas: float
    relative_deviation: float


class Sizing:
    """Turns the need of a pool, view after view, into a whole number that does not flap.

    ``hold_seconds``: how long the last number stands while not all is known. ``calm_seconds``: how long a smaller
    number must have been enough before it is taken.
    """

    def __init__(self, *, hold_seconds: float, calm_seconds: float) -> None:
        self._hold_seconds = hold_seconds
        self._calm_seconds = calm_seconds
        self._required: float | None = None
        self._complete_at = float("-inf")
        self._asked_at = float("inf")
        self._enough: tuple[float, float] | None = None
        """(since when a smaller number has been enough, the largest of those)."""

    def update(self, now: float, need: Need | None, *, complete: bool) -> float | None:
        """The number at ``now``; ``complete`` where every engine that may have traffic is known.

        While it is not, the number may rise and does not fall; after the hold it is ``None`` where it would, and the
        first number is what those need that are known.
        """
        wanted = float(ceil(need.replicas - TINY)) if need is not None else None
        if complete and need is not None:
            self._complete_at = now
            return self._follow(now, need)
        self._enough = None
        self._asked_at = min(self._asked_at, now)
        if self._required is None and wanted is not None and now - self._asked_at > self._hold_seconds:
            # one replica that never gets ready must not keep the number away from all others
            self._required, self._complete_at = wanted, now
        if self._required is None:
            return None
        if wanted is not None and wanted >= self._required:
            self._required = wanted
            return wanted
        return self._required if now - self._complete_at <= self._hold_seconds else None

    @property
    def required(self) -> float | None:
        """The last number."""
        return self._required

    def dump(self) -> tuple[float, float] | None:
        """The last number and when all was known last [unix s], to be kept over a restart; ``None`` without one."""
        return None if self._required is None else (self._required, self._complete_at)

    def restore(self, required: float, complete_at: float, now: float) -> None:
        """Go on from what was dumped, unless by ``now`` the hold is over: as if nothing had been known since then."""
        if 0 <= now - complete_at <= self._hold_seconds:
            self._required, self._complete_at = required, complete_at

    def _follow(self, now: float, need: Need) -> float:
        wanted = float(ceil(need.replicas - TINY))
        if self._required is None or wanted >= self._required:
            self._required, self._enough = wanted, None
            return wanted
        band = min(max(BAND_RATIO, BAND_DEVIATIONS * need.relative_deviation), WIDEST_BAND_RATIO)
        enough = float(ceil(need.replicas * (1 + band) - TINY))
        if enough >= self._required:
            self._enough = None
            return self._required
        since, largest = self._enough or (now, enough)
        self._enough = since, max(largest, enough)
        if now - since >= self._calm_seconds:
            self._required, self._enough = self._enough[1], None
        return self._required


def replicas_of_engine(arrival_rate: Estimate, service_rate: Estimate, target_utilization: float) -> float | None:
    """Replicas for the traffic of one engine, as if it were all: λ/(μ·target ρ), rounded up."""
    if arrival_rate.value is None:
        return None
    if arrival_rate.value == 0:
        return 0.0
    mu = service_rate.value
    return float(replicas_required(arrival_rate.value, mu, target_utilization)) if mu else None
