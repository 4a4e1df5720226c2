"""When the numbers of a pool are made, and how far back they look: the same times as the recording rules have.

Where several kvwatch see a part of a model each, Prometheus adds them up and makes the number of replicas. One answer
for both takes the same samples at the same times. So a pool is evaluated as often as Prometheus evaluates the rules,
and windows end half an interval before a round time: a range that begins at the very time of a sample holds it in one
version of Prometheus and not in another. With windows of λ other than the default, as in the demo, all times are longer
or shorter in the same ratio.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.constants import MINUTE_SECONDS

EVALUATION_SECONDS = 15.0
"""Time between two evaluations of a pool [s]. Choice: as often as the shortest scrape interval that the rules are made
for; the number of replicas is late by no more."""
MEAN_SECONDS = 5 * MINUTE_SECONDS - 5.0
"""Window over which λ is a mean, and in which a larger number of replicas still counts [s]. Choice: λ of 3/s is known
to 3% after five minutes, and a number that falls five minutes after λ has fallen flaps with no traffic that is back by
then."""
MEMORY_SECONDS = 10 * MINUTE_SECONDS - 5.0
"""How long what was known last stands for what is not known now [s]. Choice: as long as a replica takes to start, by
default."""
FIRST_SECONDS = MINUTE_SECONDS
"""How long a number must have been known before it is the first [s]. Choice: a Prometheus that has just started has
scraped all within one interval, and the longest that the rules are made for is a minute."""
FIRST_WITHIN_SECONDS = 30.0
"""Width of the window in which it was [s]. Choice: two evaluations, one of which may fail."""
CLOCK_SHARE = 0.03
"""Share of the interval that an evaluation may be early by [1]. Choice: callers come on timers that are a little early
or late."""
UNREADABLE_SECONDS = 60 * MINUTE_SECONDS - 5.0
"""How long an engine counts as one whose target does not answer [s]. Choice: what it gets is not known, so that the
others are no majority beside it; a server that is gone for good is taken off the list long before."""
MEAN_AGE_SECONDS = 3 * MINUTE_SECONDS
"""How old a mean over five minutes of means over one is [s]. Definition: the middle of six minutes."""
HALF_SECONDS = 5 * MINUTE_SECONDS
"""Half of a trend's window [s]. Definition: of ten minutes."""
KNOWN_SINCE_SECONDS = 10 * MINUTE_SECONDS - 30.0
"""How far back λ must be known for a trend [s]. Choice: its window but for two evaluations."""
LOOKBACK_SECONDS = 5 * MINUTE_SECONDS
"""How much older the sample may be that shows it [s]. Definition: how far Prometheus looks back for one."""


@dataclass(frozen=True, slots=True)
class Times:
    """Those times [s], for windows of λ that are ``ratio`` times as long as the default."""

    ratio: float = 1.0

    @classmethod
    def of(cls, longest_window_seconds: float) -> Times:
        """For the longest window of λ."""
        return cls(longest_window_seconds / HALF_SECONDS)

    @property
    def evaluation(self) -> float:
        """Between two evaluations."""
        return self.ratio * EVALUATION_SECONDS

    @property
    def mean(self) -> float:
        """Window of the mean of λ, and in which a larger number still counts."""
        return self.ratio * MEAN_SECONDS

    @property
    def mean_age(self) -> float:
        """How old that mean is."""
        return self.ratio * MEAN_AGE_SECONDS

    @property
    def memory(self) -> float:
        """How long what was known last stands, and the window of a trend."""
        return self.ratio * MEMORY_SECONDS

    @property
    def unreadable(self) -> float:
        """How long an engine counts whose target does not answer."""
        return self.ratio * UNREADABLE_SECONDS

    def is_first(self, age: float) -> bool:
        """Whether a number of that age shows that another may be the first."""
        return self.ratio * FIRST_SECONDS <= age <= self.ratio * (FIRST_SECONDS + FIRST_WITHIN_SECONDS)

    def shows_trend(self, age: float) -> bool:
        """Whether a sample of that age shows that λ is known for the whole window of a trend."""
        return self.ratio * KNOWN_SINCE_SECONDS <= age <= self.longest

    @property
    def half(self) -> float:
        """Half of a trend's window."""
        return self.ratio * HALF_SECONDS

    @property
    def longest(self) -> float:
        """How far back a sample of λ is of use."""
        return self.ratio * (KNOWN_SINCE_SECONDS + LOOKBACK_SECONDS)
