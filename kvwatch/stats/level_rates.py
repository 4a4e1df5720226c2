"""Whether more sequences at once bring fewer tokens a second: rates by load level, as they were measured.

A step law that adds up costs cannot say that: its throughput rises with the batch. Real ones may fall, where attention
or steps beyond the largest CUDA graph cost more than they bring. So levels are held against each other without a law.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import hypot

from kvwatch.stats.law_evidence import CORRELATION
from kvwatch.stats.normal import Z90

_LEAST_INTERVALS = 10.0
"""Intervals of a level from which on its rate counts [intervals]. Choice: of fewer a burst may be most."""
_ALIKE_RATIO = 0.2
"""Prompt tokens for each sequence, relative to those of the highest level, that may differ between levels [1]. Choice:
prompts take half of a step's time at most in most traffic, so that a tenth of the rate follows from it."""
_LEVEL_DEVIATION = 0.025
"""Relative sd of a level's rate besides its scatter [1]. Choice: what the step law's form leaves, load by load; clocks
and neighbours differ between the times at which levels are seen."""


@dataclass(frozen=True, slots=True)
class Level:
    """Steps of about the same size: their mean sequences, prompt tokens and resident tokens, and the mean step [s].

    ``deviation`` is the relative sd of sequences a second from one interval to the next, ``intervals`` their number.
    """

    sequences: float
    prompt_tokens: float
    resident_tokens: float
    seconds: float
    deviation: float
    intervals: float

    @property
    def rate(self) -> float:
        """Sequences that get a token each second."""
        return self.sequences / self.seconds

    @property
    def mean_deviation(self) -> float:
        """Relative sd of that rate."""
        return hypot(self.deviation * (CORRELATION / self.intervals) ** 0.5, _LEVEL_DEVIATION)


@dataclass(frozen=True, slots=True)
class Fall:
    """The highest level serves less than ``best``: how much more that serves, and at least at 90% confidence."""

    best: Level
    highest: Level
    gain_ratio: float
    gain_lower: float


def fall(levels: Iterable[Level]) -> Fall | None:
    """The level with the highest rate against the highest level, of the same traffic; ``None`` where it is that."""
    known = sorted((level for level in levels if level.intervals >= _LEAST_INTERVALS), key=lambda x: x.sequences)
    if not known:
        return None
    highest = known[-1]
    each = highest.prompt_tokens / highest.sequences
    alike = [x for x in known if abs(x.prompt_tokens / x.sequences - each) <= _ALIKE_RATIO * each]
    best = max(alike, key=lambda level: level.rate)
    if best is highest:
        return None
    gain = best.rate / highest.rate - 1
    lower = gain - Z90 * (1 + gain) * hypot(best.mean_deviation, highest.mean_deviation)
    return Fall(best, highest, gain, lower)
