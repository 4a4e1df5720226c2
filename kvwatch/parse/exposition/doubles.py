"""A model that is shown under two prefixes on one page: the same engine again, or another one?

A gateway may pass on what it reads under a name of its own, a little late; a collector may show two servers, each with
the prefix that its exporter has. A copy has at each moment all the counts that the engine had at one moment of the last
minutes; two engines, however evenly they are loaded, do not for long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from kvwatch.facts import EngineKey, EngineSample

_LATEST_SECONDS = 120.0
"""How much later than the engine a copy may be [s]. Choice: collectors scrape each minute at most, as a rule."""
_POINTS = 128
"""Moments that are kept of an engine [moments]. Choice: two minutes, one each second."""
_APART_SCRAPES = 10
"""Scrapes in a row at which it is no copy, from which on it is an engine of its own [scrapes]. Choice: a page is no
snapshot, and one or two may show some counts a step later than others."""

_MOST_PAIRS = 256
"""Pairs of an engine and a possible copy that are compared [pairs]. Choice: milliseconds a scrape; a page
with more is a collector's, which names all alike."""

_Counts = tuple[float, ...]


class _Past:
    """What an engine counted at the moments of the last two minutes."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, _Counts]] = deque(maxlen=_POINTS + 2)

    def add(self, at: float, counts: _Counts) -> None:
        if self._kept and len(counts) != len(self._kept[-1][1]):
            self._kept.clear()
        if not self._kept or at - self._kept[-1][0] >= _LATEST_SECONDS / _POINTS:
            self._kept.append((at, counts))
        while len(self._kept) > 1 and at - self._kept[1][0] >= _LATEST_SECONDS:
            self._kept.popleft()

    def is_long(self, at: float) -> bool:
        """Whether a copy as late as one may be would be found in it."""
        return at - self._kept[0][0] >= _LATEST_SECONDS

    def has(self, counts: _Counts, newest: _Counts) -> bool:
        """Whether these are what it counted at one moment of then or, by ``newest``, of now."""
        moments = [*(kept for _, kept in self._kept), newest]
        return any(
            all(a <= c <= b or b <= c <= a for a, c, b in zip(before, counts, after, strict=True))
            for before, after in pairwise(moments)
            if len(before) == len(counts) == len(after)
        )


class Doubles:
    """Follows what is shown again; bounded by the engines of the page."""

    def __init__(self) -> None:
        self._pasts: dict[EngineKey, _Past] = {}
        self._apart: dict[EngineKey, int] = {}

    def own(
        self, at: float, engines: Sequence[EngineSample], shown_again: Sequence[EngineSample]
    ) -> tuple[EngineSample, ...]:
        """Those of ``shown_again`` that are engines of their own, after a scrape at ``at`` [unix s]."""
        if not 0 < len(engines) * len(shown_again) <= _MOST_PAIRS:
            self._pasts.clear()
            self._apart.clear()
            return ()
        first = {engine.key: _counts(engine) for engine in engines}
        again = {engine.key: _counts(engine) for engine in shown_again}
        for key, counts in again.items():
            others = {k: c for k, c in first.items() if k.model_name == key.model_name}
            long = all(self._is_long(at, one) for one in (key, *others))
            if any(self._is_copy(key, counts, k, c) for k, c in others.items()):
                self._apart[key] = 0
            elif long:
                self._apart[key] = self._apart.get(key, 0) + 1
        counted = first | again
        self._pasts = {key: self._pasts.get(key, _Past()) for key in counted}
        for key, counts in counted.items():
            self._pasts[key].add(at, counts)
        self._apart = {key: count for key, count in self._apart.items() if key in again}
        return tuple(one for one in shown_again if self._apart.get(one.key, 0) >= _APART_SCRAPES)

    def _is_long(self, at: float, key: EngineKey) -> bool:
        return key in self._pasts and self._pasts[key].is_long(at)

    def _is_copy(self, key: EngineKey, counts: _Counts, other: EngineKey, others: _Counts) -> bool:
        """Whether either shows what the other has counted; two that show nothing are taken for the same."""
        if counts == others:
            return True
        of, its = self._pasts.get(other), self._pasts.get(key)
        return (of is not None and of.has(counts, others)) or (its is not None and its.has(others, counts))


def _counts(engine: EngineSample) -> _Counts:
    """What it has counted of requests and tokens."""
    shown = (engine.finished, engine.prompt_tokens, engine.generation_tokens, engine.steps)
    return tuple(-1.0 if count is None else count for count in shown)
