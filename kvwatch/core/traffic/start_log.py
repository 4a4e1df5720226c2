"""Arrivals from the server's own log of starts, which shows those too that give up while they wait.

The log counts where it reaches, the balance of the metrics before its first line and after its newest: no moment is
counted twice, and a log that lags by seconds costs nothing. A log that has stopped, or lost lines, shows in a balance
that found more arrivals than it has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

from kvwatch.constants import CLOCK_SKEW_SECONDS, LATEST_UNIX_SECONDS
from kvwatch.estimate import Reason
from kvwatch.stats.binned_count import BinnedCount
from kvwatch.stats.counting import counting_noise

_FORGET_WINDOWS = 2.0
"""Horizons of silence after which a log is no longer expected to speak [1]. Choice: a quiet night is longer than one
horizon; whoever has turned the log off waits ten minutes at most."""
LOG_LAG_SECONDS = 10.0
"""How far a log of starts may lag without being taken for stopped [s]. Choice: shippers flush every second or five;
double leaves λ to a stopped log for twice as long."""

Balance = Callable[[float, float, bool], "float | None"]
"""Arrivals between two times by the flow balance; ``None`` where it does not reach back to the first, unless it is to
make do with what there is."""


@dataclass(frozen=True, slots=True)
class LoggedArrivals:
    """Arrivals over a window; ``count`` is ``None`` where the log cannot be used, which ``verdict`` says why."""

    count: float | None
    verdict: Reason = Reason.OK


class StartLog:
    """Starts by time over a trailing horizon; ``patience_seconds`` is how far the log may lag."""

    def __init__(self, horizon_seconds: float, patience_seconds: float = LOG_LAG_SECONDS) -> None:
        self._horizon = horizon_seconds
        self._patience = patience_seconds
        self._starts = BinnedCount(horizon_seconds)
        self._first: float | None = None
        self._newest = float("-inf")
        self._whole = True

    def add(self, at: float, now: float) -> None:
        """A request started at ``at`` [unix s]; ``now`` is the newest time known otherwise."""
        if now > 0 and at > now + CLOCK_SKEW_SECONDS:
            return
        self._starts.add(at)
        self._first = at if self._first is None else min(self._first, at)
        self._newest = max(self._newest, at)
        self._whole = self._whole and at == int(at)

    @property
    def connected(self) -> bool:
        """Whether there is such a log."""
        return self._first is not None

    def reaches(self, start: float) -> bool:
        """Whether the log goes back to ``start``."""
        return self._first is not None and self._first <= start

    def counts(self, start: float, end: float, bins: int) -> list[float]:
        """Starts that were logged in equal parts of a time."""
        width = (end - start) / bins
        return [self._starts.total(start + width * i, start + width * (i + 1)) for i in range(bins)]

    def forget_if_silent(self, now: float) -> None:
        """A log that has been silent for far longer than its horizon is no longer expected to speak."""
        if now - self._newest > _FORGET_WINDOWS * self._horizon + self._patience:
            self._starts.clear()
            self._first, self._newest, self._whole = None, float("-inf"), True

    def arrivals(self, start: float, end: float, balance: Balance) -> LoggedArrivals | None:
        """Arrivals between two times up to now; ``None`` where there is no such log or it says nothing about them."""
        if self._first is None or self._first >= end:
            return None
        # stamps of whole seconds stand for the second that follows
        reaches = min(self._newest + self._whole, end)
        begins = min(max(start, self._first), end)
        logged = self._starts.total(begins, max(reaches, begins))
        before = balance(start, begins, False) if begins > start else 0.0
        if before is None:
            return None
        after = max(balance(max(reaches, start), end, True) or 0.0, 0.0) if reaches < end else 0.0
        if end - reaches > self._patience and after > counting_noise(after):
            return LoggedArrivals(None, Reason.START_LOG_STOPPED)
        balanced = balance(begins, reaches, False) if reaches > begins else None
        if balanced is not None and balanced - logged > counting_noise(balanced):
            return LoggedArrivals(None, Reason.START_LOG_INCOMPLETE)
        return LoggedArrivals(max(before, 0.0) + logged + after)

    def dump(self) -> dict[str, object]:
        """State as plain numbers."""
        return {
            "horizon": self._horizon,
            "starts": self._starts.dump(),
            "first": self._first,
            "newest": self._newest if isfinite(self._newest) else None,
            "whole": self._whole,
        }

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state; one of another horizon is left alone.

        Raises ValueError, KeyError or TypeError for one that cannot be.
        """
        starts, bins = BinnedCount(self._horizon), state["starts"]
        if not isinstance(bins, dict):
            raise TypeError("starts must be an object")
        starts.restore(bins)
        first, newest = (None if t is None else float(t) for t in (state["first"], state["newest"]))  # type: ignore[arg-type]
        if (first is None) != (newest is None) or not all(
            abs(t) < LATEST_UNIX_SECONDS for t in (first, newest) if t is not None
        ):
            raise ValueError("times of starts do not fit")
        if float(state["horizon"]) == self._horizon:  # type: ignore[arg-type]
            self._starts, self._whole = starts, bool(state["whole"])
            self._first, self._newest = first, float("-inf") if newest is None else newest
