"""Whether the prefix cache finds less the fuller memory is.

Near full, running requests and cached prefixes want the same blocks. Each miss computes a prompt again, which keeps
requests inside for longer, which leaves less room for prefixes: a server of agents was measured to fall from 95% of
hits to 28% between 14 and 20 conversations, and from 0.115 to 0.061 requests/s. A service rate at the hit rate of now
is then too high, and by how much only a fuller engine would show.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

from kvwatch.constants import MINUTE_SECONDS
from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval

_LEVELS = 8
"""Levels of KV usage that hits are told apart by [bins]. Choice: the fall happens within a quarter of the memory."""
_MEMORY_SECONDS = 30 * MINUTE_SECONDS
"""How long hits are remembered [s]. Choice: a load that comes and goes within the hour is seen at several levels; the
traffic's own repetition moves over hours."""
_LEAST_PREFILLS = 50.0
"""Prompts at a level from which on its hits count [requests]. Choice: a share of hits is then known to 0.07."""
_LEAST_FALL = 0.05
"""Fall of the hit rate that is worth a word [1]. Choice: below it μ moves by less than its interval."""
_LEAST_ERRORS = 3.5
"""Standard errors by which the hit rate falls at least [sd]. Choice: of seven levels one falls so by chance in a
thousand looks."""


@dataclass(frozen=True, slots=True)
class HitsFall:
    """The highest hit rate at a lower KV usage, and that at the highest usage seen: shares of prompt tokens."""

    before: float
    now: float

    @property
    def deviation(self) -> float:
        """Relative sd of μ: as if hits fell as much again until memory is full, halfway believed."""
        missed = 1 - self.now
        return log(1 + (self.before - self.now) / missed) / 2


@dataclass(slots=True)
class _Level:
    prompts: float = 0.0
    tokens: float = 0.0
    computed: float = 0.0

    def fade(self, keep: float) -> None:
        self.prompts *= keep
        self.tokens *= keep
        self.computed *= keep

    @property
    def hit_ratio(self) -> float:
        return min(max(1 - self.computed / self.tokens, 0.0), 1.0)

    @property
    def error(self) -> float:
        """Standard error of the hit rate, as if each prompt were found whole or not at all."""
        return sqrt(max(self.hit_ratio * (1 - self.hit_ratio), 1 / self.prompts) / self.prompts)


class CacheHits:
    """Hits by KV usage, forgotten within an hour."""

    def __init__(self) -> None:
        self._levels = [_Level() for _ in range(_LEVELS)]

    def update(self, interval: Interval) -> None:
        """Take an interval."""
        usage = interval.kv_usage_ratio[1]
        if not interval.goes_on or usage is None:
            return
        keep = max(1 - interval.seconds / _MEMORY_SECONDS, 0.0)
        for level in self._levels:
            level.fade(keep)
        if interval.preemptions or not interval.prompt_tokens or interval.prompt_tokens_computed is None:
            return  # who was evicted finds its own prompt again
        level = self._levels[min(int(usage * _LEVELS), _LEVELS - 1)]
        level.prompts += interval.first_tokens or 0.0
        level.tokens += interval.prompt_tokens
        level.computed += interval.prompt_tokens_computed

    def begin_anew(self, cause: Cause) -> None:
        """The cache of a new process is empty."""
        if cause is Cause.RESTART:
            self._levels = [_Level() for _ in range(_LEVELS)]

    def get(self, _now: float) -> HitsFall | None:
        """The fall of the hit rate; ``None`` where there is none to speak of."""
        known = [level for level in self._levels if level.prompts >= _LEAST_PREFILLS and level.tokens > 0]
        if len(known) < 2:
            return None
        full, best = known[-1], max(known[:-1], key=lambda level: level.hit_ratio)
        fall = best.hit_ratio - full.hit_ratio
        if fall < _LEAST_FALL or fall < _LEAST_ERRORS * sqrt(full.error**2 + best.error**2):
            return None
        return HitsFall(best.hit_ratio, full.hit_ratio)
