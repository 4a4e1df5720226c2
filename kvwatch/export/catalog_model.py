"""Metrics of a model's whole fleet."""

from __future__ import annotations

from kvwatch.core.pool.replicas_required import REASONS
from kvwatch.export.metric import Metric, Scope

_M = Scope.MODEL
_RATE = "requests/s"

MODEL_METRICS: tuple[Metric, ...] = (
    Metric(
        "kvwatch_replicas_required",
        _M,
        "replicas",
        "Replicas that keep this model's utilization at the target: arrival rate over (mean service rate x target), "
        "rounded up, and what kvwatch_replicas_added says. Rises within 15 s and falls when less has been enough for "
        "five minutes. Rests on engines whose arrival rate and utilization are valid; while these are not half of all, "
        "it does not fall, and after ten minutes there is none.",
        estimate="utilization",
    ),
    Metric(
        "kvwatch_replicas",
        _M,
        "replicas",
        "Replicas that this model has: servers whose engines kvwatch reads now, those that have just started included. "
        "What kvwatch_replicas_required is held against; data-parallel engines of one server are one replica.",
    ),
    Metric(
        "kvwatch_replicas_added",
        _M,
        "replicas",
        "Replicas in kvwatch_replicas_required beyond arrival rate over (mean service rate x target): for a surge of "
        "the last minute, for a trend that is no accident by the time that a replica takes to start, for what waits, "
        "for engines that are not known now, and for a load that was higher within five minutes.",
        extra_labels=("reason",),
        values=REASONS,
    ),
    Metric(
        "kvwatch_backlog_replicas",
        _M,
        "replicas",
        "Replicas, not rounded, that it takes to serve what waits now in the time that a replica takes to start, "
        "beside those that serve what arrives.",
    ),
    Metric(
        "kvwatch_model_arrival_rate",
        _M,
        _RATE,
        "Arrival rate over all engines of the model, a mean over five minutes, right also while replicas come and go.",
    ),
    Metric(
        "kvwatch_model_service_rate",
        _M,
        _RATE,
        "Service rates of all engines of the model whose service rate is known, added up.",
    ),
    Metric(
        "kvwatch_model_utilization",
        _M,
        "ratio",
        "Arrival rate over service rate of the engines whose service rate is known, over the longest window.",
    ),
    Metric(
        "kvwatch_model_imbalance_ratio",
        _M,
        "ratio",
        "Utilization of the hottest engine over that of the model: 1 is even.",
    ),
    Metric(
        "kvwatch_model_engines",
        _M,
        "engines",
        "Engines of the model: those that serve, those that are too new to have an arrival rate, and those whose "
        "numbers are stale.",
        extra_labels=("state",),
        values=("serving", "starting", "stale"),
    ),
    Metric(
        "kvwatch_model_binding_role",
        _M,
        "1",
        "1 for the role, prefill or decode, whose engines are the more utilized; the other has no series.",
    ),
    Metric(
        "kvwatch_model_recommended_engines",
        _M,
        "engines",
        "How the present number of prefill and decode engines is best split for the traffic now.",
    ),
)
