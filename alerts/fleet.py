"""How loaded is everything together? The sums over models, for people who look at the whole."""

from __future__ import annotations

from alerts.rule import Recording

RECORDINGS = (
    Recording(
        "fleet:kvwatch_arrival_rate:sum5m",
        "sum by (cluster) (max by (cluster, namespace, model_name) (model:kvwatch_arrival_rate:sum5m))",
        "A request passes through a prefill and a decode server where these are apart, and counts once; the slower "
        "pool is what the model can serve.",
    ),
    Recording(
        "fleet:kvwatch_service_rate:sum",
        "sum by (cluster) (min by (cluster, namespace, model_name) (model:kvwatch_service_rate:sum))",
    ),
    Recording("fleet:kvwatch_utilization:max5m", "max by (cluster) (model:kvwatch_utilization:ratio5m)"),
    Recording("fleet:kvwatch_stability_margin:min5m", "min by (cluster) (model:kvwatch_stability_margin:ratio5m)"),
    Recording("fleet:kvwatch_engines:count", "sum by (cluster) (model:kvwatch_engines:count)"),
    Recording("fleet:kvwatch_replicas_required:sum5m", "sum by (cluster) (model:kvwatch_replicas_required:hold5m)"),
)
