"""How many replicas to ask for: what the load needs at once, less when it has needed less for five minutes.

The number never falls because something is not known, and does not outlive what it rests on by more than ten minutes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from kvwatch.core.pool.evaluation import Times
from kvwatch.core.pool.need import Need

REASONS = ("surge", "trend", "backlog", "missing_engines", "recent_load")
"""What makes the number higher than ⌈λ/(μ·target)⌉: λ over the last minute, a sure trend, what waits, engines that are
not known now, and a load that was higher within five minutes."""
MAJORITY_RATIO = 0.5
"""Share of the engines that must be known for a number to rest on them [1]. Choice: with more of them out of sight the
others do not tell what the model needs."""


class Sizing:
    """The number of replicas of a pool, evaluation after evaluation."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._needs: deque[tuple[float, int]] = deque()
        self._valid: deque[float] = deque()
        """Times at which there was a valid need."""
        self._number: tuple[float, float] | None = None
        """(the last number, when)."""

    def update(self, now: float, need: Need | None, *, valid: bool) -> float | None:
        """The number at ``now`` [unix s]; ``valid`` where the need rests on a majority of the engines.

        While it does not, the number may rise and does not fall; ten minutes after the last that did there is none.
        """
        if need is not None:
            self._needs.append((now, need.total))
            if valid:
                self._valid.append(now)
        self._forget(now)
        number = self._next(now, need, valid=valid)
        if number is not None:
            self._number = float(number), now
        return None if number is None else float(number)

    def _next(self, now: float, need: Need | None, *, valid: bool) -> float | None:
        last = self._number[0] if self._number is not None else None
        if last is None:
            known = need is not None and valid and any(self._times.is_first(now - at) for at in self._valid)
            return need.total if known and need is not None else None
        if need is not None and need.total >= last:
            return need.total
        if need is not None and valid:
            return min(max(need.missing, *self._recent(now)), last)
        return last if self._valid and now - self._valid[-1] <= self._times.memory else None

    def _recent(self, now: float) -> list[int]:
        return [total for at, total in self._needs if now - at <= self._times.mean]

    def _forget(self, now: float) -> None:
        while self._needs and now - self._needs[0][0] > self._times.mean:
            self._needs.popleft()
        while self._valid and now - self._valid[0] > self._times.memory:
            self._valid.popleft()
        if self._number is not None and now - self._number[1] > self._times.memory:
            self._number = None

    def dump(self) -> tuple[float, float] | None:
        """The last number and when it was last sure [unix s], to be kept over a restart; ``None`` without one."""
        return (self._number[0], self._valid[-1]) if self._number is not None and self._valid else None

    def restore(self, number: float, sure_at: float, now: float) -> None:
        """Go on from what was dumped, unless by ``now`` the hold is over: as if nothing had been known since then."""
        if 0 <= now - sure_at <= self._times.memory:
            self._number = number, sure_at
            self._valid.append(sure_at)


def added(number: float, need: Need | None, *, valid: bool) -> Mapping[str, float]:
    """How many of the replicas each of :data:`REASONS` adds to ⌈λ/(μ·target)⌉; nothing where that is not known."""
    if need is None:
        return {}
    held = max(number - need.total, 0.0)
    missing = min(held, float(need.missing - need.total)) if valid else held
    parts = (need.surge - need.load, need.trend - need.surge, need.total - need.trend, missing, held - missing)
    return dict(zip(REASONS, map(float, parts), strict=True))
