"""Is there a cheaper mend than a replica? What `max_num_seqs` would gain for a model, and whether that is enough."""

from __future__ import annotations

from alerts.promql import LIMIT, RHO_1M, SERVICE_RATE, by_model
from alerts.rule import Recording

GAIN = "model:kvwatch_recommended_gain_ratio:avg"
ENOUGH = "model:kvwatch_recommended_gain_ratio:enough"

RECORDINGS = (
    Recording(
        GAIN,
        f"{by_model('sum', 'kvwatch_recommended_gain_ratio * kvwatch_service_rate')}\n/ ({SERVICE_RATE} > 0)",
        "Throughput that a model gains where each engine takes the max_num_seqs that is recommended for it; an engine "
        "without a recommendation gains nothing.",
    ),
    Recording(
        ENOUGH,
        f"""
        {GAIN}
        and ({RHO_1M} + model:kvwatch_utilization:growth) / (1 + {GAIN}) < {LIMIT}
        """,
        "The same where it is enough: the load, with what its trend adds by the time that a replica serves, stays "
        "below the limit.",
    ),
)
