"""Metrics of one engine on latency: what the load leads to, what is seen, and the load that a target allows."""

from __future__ import annotations

from kvwatch.embedded.latency_curve import KINDS
from kvwatch.export.metric import Interval, Kind, Metric, Scope, with_bounds

_E = Scope.ENGINE
_KIND = ("kind", "quantile")
_SLO = ("slo",)

LATENCY_METRICS: tuple[Metric, ...] = with_bounds(
    Metric(
        "kvwatch_latency_seconds",
        _E,
        "s",
        "Predicted for the load of now, in the long run: time in the queue (wait), to the first token (ttft) and "
        "between two tokens (itl), as the engine causes it. Only where estimates.latency or slo is configured.",
        kind=Kind.SUMMARY,
        extra_labels=_KIND,
        values=KINDS,
        estimate="latency",
        interval=Interval("the predicted latency"),
    ),
    Metric(
        "kvwatch_observed_latency_seconds",
        _E,
        "s",
        "The same over the last minute, read off vLLM's histograms, whose buckets are coarse.",
        kind=Kind.SUMMARY,
        extra_labels=_KIND,
        values=KINDS,
    ),
    Metric(
        "kvwatch_latency_residual_ratio",
        _E,
        "ratio",
        "Observed 95th percentile over the predicted one, minus 1; 0 where both lie in the same bucket of vLLM's "
        "histogram.",
        extra_labels=("kind",),
        values=KINDS,
        estimate="latency",
    ),
    Metric(
        "kvwatch_slo_service_rate",
        _E,
        "requests/s",
        "Requests per second up to which 95% of them keep to the latency target, by what the target is about. Only "
        "where slo is configured.",
        extra_labels=_SLO,
        values=KINDS,
        estimate="slo",
        interval=Interval("that rate"),
    ),
    Metric(
        "kvwatch_slo_utilization",
        _E,
        "ratio",
        "Arrival rate over the longest known window, over the rate up to which the latency target is met: above 1 it "
        "is missed.",
        extra_labels=_SLO,
        values=KINDS,
        estimate="slo",
        interval=Interval("that ratio"),
    ),
    Metric(
        "kvwatch_recommended_max_num_queued_reqs",
        _E,
        "requests",
        "The --max-num-queued-reqs (vLLM 0.32 and later) with which whoever waits still keeps to the latency target; "
        "times the engines behind one API server.",
        estimate="slo",
    ),
    Metric(
        "kvwatch_recommended_max_num_queued_tokens",
        _E,
        "tokens",
        "The --max-num-queued-tokens for the same; times the engines behind one API server.",
        estimate="slo",
    ),
)
