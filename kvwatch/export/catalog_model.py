"""Metrics of a model's whole fleet."""

from __future__ import annotations

from kvwatch.export.metric import Metric, Scope

_M = Scope.MODEL
_RATE = "requests/s"

MODEL_METRICS: tuple[Metric, ...] = (
    Metric(
        "kvwatch_replicas_required",
        _M,
        "replicas",
        "Replicas that keep this model's utilization at the target: arrival rate over (mean service rate x target), "
        "rounded up. Ahead of a sure trend by the time that a replica takes to start; falls only when all is known and "
        "has been calm for the longest window.",
        estimate="utilization",
    ),
    Metric(
        "kvwatch_model_arrival_rate",
        _M,
        _RATE,
        "Arrival rate over all engines of the model, right also while replicas come and go.",
        since="0.2.0",
    ),
    Metric(
        "kvwatch_model_service_rate",
        _M,
        _RATE,
        "Service rates of all engines of the model whose service rate is known, added up.",
        since="0.2.0",
    ),
    Metric(
        "kvwatch_model_utilization",
        _M,
        "ratio",
        "Arrival rate over service rate of the engines whose service rate is known, over the longest window.",
        since="0.2.0",
    ),
    Metric(
        "kvwatch_model_imbalance_ratio",
        _M,
        "ratio",
        "Utilization of the hottest engine over that of the model: 1 is even.",
        since="0.2.0",
    ),
    Metric(
        "kvwatch_model_engines",
        _M,
        "engines",
        "Engines of the model: those that serve, those that are too new to have an arrival rate, and those whose "
        "numbers are stale.",
        extra_labels=("state",),
        values=("serving", "starting", "stale"),
        since="0.2.0",
    ),
    Metric(
        "kvwatch_model_binding_role",
        _M,
        "1",
        "1 for the role, prefill or decode, whose engines are the more utilized; the other has no series.",
        since="0.2.0",
    ),
    Metric(
        "kvwatch_model_recommended_engines",
        _M,
        "engines",
        "How the present number of prefill and decode engines is best split for the traffic now.",
        since="0.2.0",
    ),
)
