"""The keys with the largest weight in a stream, with bounded memory.

Weighted Misra–Gries with batch eviction (Anderson et al., "A high-performance algorithm for identifying frequent items
in data streams", IMC 2017): up to 2m keys are kept; when there are more, the (m + 1)-th largest weight is taken off
all, and what falls to 0 leaves. Every such round takes off at least (m + 1) times that weight, so no key is
understated by more than (whole weight)/(m + 1). Constant time for each observation in the mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import add

from kvwatch.constants import LARGEST_SUM


class HeavyHitters:
    """Sums by key for the heaviest keys: vectors of ``size`` numbers, the first of which is the weight (≥ 0).

    A key's sums are those since it was last taken in, so they are never more than the truth, and no more than
    :attr:`error` below it in weight.
    """

    def __init__(self, capacity: int, size: int) -> None:
        self._capacity = capacity
        self._sums: dict[str, list[float]] = {}
        self._worth: dict[str, float] = {}
        self.total = [0.0] * size
        """Exact sums over all keys."""
        self.error = 0.0
        """By how much a key's weight may be understated."""

    def add(self, key: str, values: Sequence[float]) -> None:
        """Add a vector to a key's sums."""
        self._worth[key] = self._worth.get(key, 0.0) + values[0]
        sums = self._sums.get(key)
        if sums is None:
            self._sums[key] = list(values)
        else:
            sums[:] = map(add, sums, values)
        self.total[:] = map(add, self.total, values)
        if len(self._worth) > 2 * self._capacity:
            self._evict()

    def _evict(self) -> None:
        taken = sorted(self._worth.values(), reverse=True)[self._capacity]
        self.error += taken
        self._worth = {key: worth - taken for key, worth in self._worth.items() if worth > taken}
        self._sums = {key: self._sums[key] for key in self._worth}

    def items(self) -> Iterator[tuple[str, list[float]]]:
        """Keys with their sums, in no order; at most twice the capacity."""
        return iter(self._sums.items())

    def dump(self) -> dict[str, object]:
        """State as plain numbers."""
        return {
            "keys": [[key, self._worth[key], *sums] for key, sums in self._sums.items()],
            "total": list(self.total),
            "error": self.error,
        }

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state. Raises ValueError, KeyError or TypeError for one that cannot be."""
        keys, total, error = state["keys"], state["total"], state["error"]
        if not isinstance(keys, list) or not isinstance(total, list) or len(total) != len(self.total):
            raise TypeError("heavy hitters must be lists")
        if len(keys) > 2 * self._capacity:
            raise ValueError("too many keys")
        numbers = [float(v) for v in (*total, error)] + [float(v) for row in keys for v in row[1:]]
        if not all(0 <= v < LARGEST_SUM for v in numbers):
            raise ValueError("sums out of range")
        sums, worth = {}, {}
        for key, weight, *values in keys:
            if not isinstance(key, str) or len(values) != len(total):
                raise TypeError("a key must be text with its sums")
            sums[key], worth[key] = [float(v) for v in values], float(weight)
        self._sums, self._worth, self.total, self.error = sums, worth, numbers[: len(total)], numbers[len(total)]
