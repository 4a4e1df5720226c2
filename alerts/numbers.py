"""The numbers of the rules: those that kvwatch itself computes with come from there, the others are chosen here."""

from __future__ import annotations

from kvwatch.constants import TINY as ROUNDING
from kvwatch.core.engine_state import EVICTION_LOSS_RATIO
from kvwatch.core.options import DEFAULT_WINDOWS_SECONDS, CoreOptions
from kvwatch.core.pool.arrivals import HALF_SHARE, TREND_DEVIATIONS
from kvwatch.core.pool.arrivals import STAYS_RATIO as TREND_STAYS
from kvwatch.core.pool.evaluation import (
    EVALUATION_SECONDS,
    FIRST_SECONDS,
    FIRST_WITHIN_SECONDS,
    HALF_SECONDS,
    KNOWN_SINCE_SECONDS,
    MEAN_AGE_SECONDS,
    MEAN_SECONDS,
    MEMORY_SECONDS,
    UNREADABLE_SECONDS,
)
from kvwatch.core.pool.members import INTERVAL_DEVIATIONS
from kvwatch.core.pool.need import MOST_GROWTH, SURGE_DEVIATIONS
from kvwatch.core.pool.replicas_required import MAJORITY_RATIO
from kvwatch.core.signs import LOWEST_LIMIT_RATIO as LOWEST_LIMIT
from kvwatch.export.sentences import HOT_RATIO

__all__ = [
    "EVALUATION_SECONDS",
    "EVICTION_LOSS_RATIO",
    "HALF_SHARE",
    "HOT_RATIO",
    "INTERVAL_DEVIATIONS",
    "LOWEST_LIMIT",
    "MAJORITY_RATIO",
    "MEAN_AGE_SECONDS",
    "MEMORY_SECONDS",
    "MOST_GROWTH",
    "ROUNDING",
    "SURGE_DEVIATIONS",
    "TREND_DEVIATIONS",
    "TREND_STAYS",
]


def duration(seconds: float) -> str:
    """A time as PromQL has it, such as ``4m55s``."""
    minutes, rest = divmod(round(seconds), 60)
    return (f"{minutes}m" if minutes else "") + (f"{rest}s" if rest or not minutes else "")


SHORT_WINDOW, LONG_WINDOW = DEFAULT_WINDOWS_SECONDS
"""Values of the label ``window``. The names of recorded series end in them."""
LONG_WINDOW_SECONDS = round(DEFAULT_WINDOWS_SECONDS[LONG_WINDOW])
"""The longer of kvwatch's default windows [s]. Definition."""
MEAN_WINDOW, MEMORY_WINDOW = duration(MEAN_SECONDS), duration(MEMORY_SECONDS)
"""How far back the number of replicas looks for a mean, and how long it remembers [PromQL]. Definition: as the core."""
UNREADABLE = duration(UNREADABLE_SECONDS)
"""How long an engine counts whose target does not answer [PromQL]. Definition: as the core."""
HALF_WINDOW, KNOWN_SINCE = duration(HALF_SECONDS), duration(KNOWN_SINCE_SECONDS)
"""Where the older half of a trend's window ends, and how far back λ must be known for it [PromQL]. Definition: as the
core."""
FIRST, FIRST_WITHIN = duration(FIRST_SECONDS), duration(FIRST_WITHIN_SECONDS)
"""How long a number must have been known before it is the first, and the width of the window in which it was [PromQL].
Definition: as the core."""
BUSY_UTILIZATION = CoreOptions().target_utilization
"""ρ from which an engine counts as busy [1]. Choice: the default that replicas are sized for."""

PAGING_SHARE = 0.5
"""Share of a model's engines whose ρ must be sure for a page that rests on it [1]. Choice: the majority."""
MODEL_SHARE = 0.2
"""Share of a model's engines that matters to its load [1]. Choice: with fewer gone, the others tell enough."""
MODEL_GAP_RATIO = 0.25
"""Error of μ from which it makes a ticket [1]. Choice: beyond any error of μ on the recordings."""
QUEUE_REQUESTS = 10
"""How many may wait in an engine without a page [requests]. Choice: a burst that is served within seconds."""
