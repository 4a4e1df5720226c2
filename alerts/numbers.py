"""The numbers of the rules: those that kvwatch itself computes with come from there, the others are chosen here."""

from __future__ import annotations

from kvwatch.constants import TINY as ROUNDING
from kvwatch.core.engine_state import EVICTION_LOSS_RATIO
from kvwatch.core.engine_state import LOWEST_LIMIT_RATIO as LOWEST_LIMIT
from kvwatch.core.options import DEFAULT_WINDOWS_SECONDS, CoreOptions
from kvwatch.core.pool.fleet_model import INTERVAL_DEVIATIONS, MOST_GROWTH
from kvwatch.core.pool.replicas_required import BAND_DEVIATIONS, BAND_RATIO, WIDEST_BAND_RATIO

__all__ = [
    "BAND_DEVIATIONS",
    "BAND_RATIO",
    "EVICTION_LOSS_RATIO",
    "INTERVAL_DEVIATIONS",
    "LOWEST_LIMIT",
    "MOST_GROWTH",
    "ROUNDING",
    "WIDEST_BAND_RATIO",
]

SHORT_WINDOW, LONG_WINDOW = DEFAULT_WINDOWS_SECONDS
"""Values of the label ``window``. The names of recorded series end in them."""
LONG_WINDOW_SECONDS = round(DEFAULT_WINDOWS_SECONDS[LONG_WINDOW])
"""The longer of kvwatch's default windows [s]. Definition."""
HOLD = f"{CoreOptions().scale_up_seconds / 60:.0f}m"
"""How long the number for autoscalers stands without data: the default time that a new replica takes, as in sizing."""
BUSY_UTILIZATION = CoreOptions().target_utilization
"""ρ from which an engine counts as busy [1]. Choice: the default that replicas are sized for."""

PAGING_SHARE = 0.5
"""Share of a model's engines whose ρ must be sure for a page that rests on it [1]. Choice: the majority."""
MODEL_SHARE = 0.2
"""Share of a model's engines that matters to its load [1]. Choice: with fewer gone, the others tell enough."""
MODEL_GAP_RATIO = 0.25
"""Error of μ from which it makes a ticket [1]. Choice: beyond any error of μ on the recordings."""
HOT_RATIO = 1.25
"""ρ of an engine over its model's from which it is hot [1]. Choice: what a balancer's chance alone seldom does."""
QUEUE_REQUESTS = 10
"""How many may wait in an engine without a page [requests]. Choice: a burst that is served within seconds."""
