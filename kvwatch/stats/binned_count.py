"""Events counted by time, in any order, over a trailing horizon."""

from __future__ import annotations

from math import ceil, floor

from kvwatch.constants import LARGEST_SUM, LATEST_UNIX_SECONDS

_BINS = 600
"""Parts of the horizon in which events are counted [bins]. Choice: half a second of the five-minute window, less than a
scrape interval; the count over a window is wrong by at most one bin's events at its older end."""


class BinnedCount:
    """Counts of events in bins of time; at most ``bins`` of them, however many events and in whatever order.

    Events older than the horizon before the newest are forgotten.
    """

    def __init__(self, horizon_seconds: float, bins: int = _BINS) -> None:
        self._width = horizon_seconds / bins
        self._most = bins + 1
        self._bins: dict[int, float] = {}
        self._newest: int | None = None

    def add(self, at: float, count: float = 1.0) -> None:
        """Count events at time ``at`` (unix seconds)."""
        index = floor(at / self._width)
        if self._newest is None or index > self._newest:
            self._newest = index
            for old in [i for i in self._bins if i <= index - self._most]:
                del self._bins[old]
        if index > self._newest - self._most:
            self._bins[index] = self._bins.get(index, 0.0) + count

    def total(self, start: float, end: float) -> float:
        """Events in [start, end); bins that lie in it in part count in proportion."""
        if end <= start or self._newest is None:
            return 0.0
        first = max(start / self._width, self._newest - self._most)
        last = min(end / self._width, self._newest + 1)
        covered = range(floor(first), ceil(last))
        return sum(self._bins.get(i, 0.0) * (min(i + 1, last) - max(i, first)) for i in covered)

    def clear(self) -> None:
        """Forget everything."""
        self._bins.clear()
        self._newest = None

    def dump(self) -> dict[str, object]:
        """State as plain numbers; the bins are [number, count]."""
        return {"width": self._width, "bins": [[i, n] for i, n in self._bins.items()]}

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state; one with bins of another width is left alone.

        Raises ValueError, KeyError or TypeError for one that cannot be.
        """
        rows = state["bins"]
        if not isinstance(rows, list) or len(rows) > self._most:
            raise ValueError("not a count by time")
        bins = {int(i): float(n) for i, n in rows}
        if not all(0 <= n < LARGEST_SUM for n in bins.values()):
            raise ValueError("counts out of range")
        if not all(abs(i) * self._width < LATEST_UNIX_SECONDS for i in bins):
            raise ValueError("times of counts out of range")
        if float(state["width"]) == self._width:  # type: ignore[arg-type]
            self._bins = bins
            self._newest = max(bins, default=None)
