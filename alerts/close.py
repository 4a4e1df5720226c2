"""Is ρ surely close to its limit, whatever its trend?"""

from __future__ import annotations

from alerts.promql import LIMIT, RHO_1M, RHO_5M
from alerts.rule import Recording

LOWER_1M = "model:kvwatch_utilization_lower:ratio1m"
LOWER_5M = "model:kvwatch_utilization_lower:ratio5m"
LOWER_15M = "model:kvwatch_utilization_lower:avg15m"
CLOSE_15M = 0.97
"""Share of the limit that is close to it, of ρ's lower bound over 15 minutes [1].

Choice: false pages, bench/lead_time.
"""
STILL = 0.9
"""Share of the limit above which ρ over a minute has not fallen since [1]. Choice: the noise of a minute."""
CLOSE_1M = 0.95
"""Share that is close, of the lower bound over a minute, further below ρ [1]. Choice: false pages, bench/lead_time."""

RECORDINGS = (
    Recording(
        LOWER_15M,
        f"avg_over_time({LOWER_5M}[15m]) and {LOWER_5M} offset 10m",
        "What is so for a quarter of an hour is so: the lower bound, with the noise of λ averaged out.",
    ),
    Recording(
        "model:kvwatch_utilization_lower:close",
        f"""
        ({LOWER_15M} > {CLOSE_15M} * {LIMIT} and {RHO_1M} > {STILL} * {LIMIT})
        or (
          {LOWER_1M} > {CLOSE_1M} * {LIMIT}
          and {LOWER_1M} offset 1m > {CLOSE_1M} * {LIMIT}
          unless {RHO_5M}
        )
        """,
        "There where ρ is surely close to its limit: for a quarter of an hour, and still is; or, where five minutes "
        "are not known yet, now and a minute ago.",
    ),
)
