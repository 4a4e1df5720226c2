"""The few pieces of PromQL that most rules share."""

from __future__ import annotations

from alerts.numbers import LONG_WINDOW, SHORT_WINDOW

MODEL = "(cluster, namespace, model_name, role)"
"""What tells one model from another; labels that do not exist count as empty."""
WATCHER = "(cluster, namespace, job, instance)"
"""What tells one kvwatch from another, as Prometheus scrapes it."""
TARGET = "(cluster, namespace, job, instance, target)"
"""A server as one kvwatch sees it: sidecars all call theirs localhost, so the watcher is a part of it."""

UNLESS_EXCUSED = f"unless on {MODEL} model:kvwatch_engines:excused"
"""Ends an alert that a rollout would set off. Alertmanager cannot: an alert that ends while it is inhibited is never
said to have ended."""

LIMIT = "model:kvwatch_stable_limit:avg"
"""What ρ of a model must stay below."""
RHO_1M = "model:kvwatch_utilization:ratio1m"
RHO_5M = "model:kvwatch_utilization:ratio5m"
"""ρ of a model over the short and the long window."""
SERVICE_RATE = "model:kvwatch_service_rate:sum"
"""μ of a model, requests/s."""
SCALE_UP = "model:kvwatch_scale_up_seconds:max"
"""How long a new replica takes until it serves, s."""


def by_model(operator: str, expression: str) -> str:
    """An aggregation over each model's series; an expression of several lines has its own."""
    inside = f"\n  {expression}\n" if "\n" in expression else expression
    return f"{operator} by {MODEL} ({inside})"


def by_reason(metric: str) -> str:
    """The values of a metric of models by its label ``reason``."""
    return f"max by {MODEL.removesuffix(')')}, reason) ({metric})"


def short(metric: str) -> str:
    """A metric over the short window."""
    return f'{metric}{{window="{SHORT_WINDOW}"}}'


def long(metric: str) -> str:
    """A metric over the long window."""
    return f'{metric}{{window="{LONG_WINDOW}"}}'


def weighted(metric: str) -> str:
    """The mean of a ratio over a model's engines, weighted by μ, of those whose μ is known; ``metric`` has a window."""
    known = f"({metric} >= bool 0)"
    return (
        f"{by_model('sum', f'{metric} * ignoring (window) kvwatch_service_rate')}"
        f"\n/ {by_model('sum', f'{known} * ignoring (window) kvwatch_service_rate')}"
    )


def first_of(series: dict[str, str], label: str) -> str:
    """A union of series that share all labels, told apart by ``label``, whose values are the keys."""
    return "\n  or ".join(f'label_replace({name}, "{label}", "{value}", "", "")' for value, name in series.items())
