"""The largest value seen, forgotten in time."""

from __future__ import annotations

_LARGEST = 1e15
"""What no value or time reaches, whatever its unit [1]. Choice: a state file that holds more is damaged; up to here
doubles hold every whole number."""


class DecayingMax:
    """Largest value over the last one to two ``period_seconds``, with two numbers of memory.

    Two consecutive periods are kept; when the newer one is over, the older one is forgotten.
    """

    def __init__(self, period_seconds: float) -> None:
        self._period = period_seconds
        self._start: float | None = None
        self._current: float | None = None
        self._previous: float | None = None

    def update(self, at: float, value: float) -> None:
        """Take ``value`` at time ``at`` (unix seconds)."""
        self._start, self._current, self._previous = self._turned(at)
        self._current = value if self._current is None else max(self._current, value)

    def get(self, now: float) -> float | None:
        """The largest remembered value; ``None`` if there is none."""
        known = [v for v in self._turned(now)[1:] if v is not None]
        return max(known) if known else None

    def dump(self) -> list[float | None]:
        """State as plain numbers: begin of the current period, its largest value, and that of the one before."""
        return [self._start, self._current, self._previous]

    def restore(self, state: list[float | None]) -> None:
        """Take up a dumped state. Raises ValueError or TypeError for one that cannot be."""
        start, current, previous = (None if value is None else float(value) for value in state)
        if not all(abs(value) < _LARGEST for value in (start, current, previous) if value is not None):
            raise ValueError("largest value out of range")
        if start is None and (current is not None or previous is not None):
            raise ValueError("largest value without its time")
        self._start, self._current, self._previous = start, current, previous

    def _turned(self, now: float) -> tuple[float, float | None, float | None]:
        """Begin of the period that ``now`` is in, its largest value so far, and that of the one before."""
        if self._start is None or now - self._start >= 2 * self._period:
            return now, None, None
        if now - self._start >= self._period:
            return self._start + self._period, None, self._current
        return self._start, self._current, self._previous
