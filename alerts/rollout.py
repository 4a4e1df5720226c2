"""Do so many of a model's engines start or leave that its load moves by itself?"""

from __future__ import annotations

from alerts.numbers import MODEL_SHARE
from alerts.promql import MODEL, by_model
from alerts.rule import FLEET_OF_MODEL, NONE, WARNING, Alert, Recording
from alerts.words import text

LASTS_SHARE = 0.9
"""Share of half an hour from which a rollout is a crash loop [1]. Choice: a pause between two crashes."""

RECORDINGS = (
    Recording("model:kvwatch_engines:count", by_model("count", "kvwatch_queue_length")),
    Recording(
        "model:kvwatch_engines:starting",
        f"""
        avg by {MODEL} (
          (kvwatch_estimate_valid{{estimate="arrival_rate_5m", reason=~"restart|warming_up"}} == bool 0)
          or kvwatch_estimate_valid{{estimate="arrival_rate_5m"}} * 0
        )
        """,
        "Share of a model's engines that have started in the last 5 minutes.",
    ),
    Recording(
        "model:kvwatch_engines:rollout",
        f"""
        (model:kvwatch_engines:starting >= bool {MODEL_SHARE} and model:kvwatch_engines:count offset 5m) == 1
        or model:kvwatch_engines:count < bool {1 - MODEL_SHARE} * max_over_time(model:kvwatch_engines:count[10m])
        """,
        "1 while a fifth of a model's engines or more have started in the last 5 minutes or left in the last 10, else "
        "0: that moves the load by itself.",
    ),
    Recording(
        "model:kvwatch_engines:rollout30m",
        "avg_over_time(model:kvwatch_engines:rollout[30m])",
        "Nearly 1 where it has lasted for half an hour: that is a crash loop, and excuses nothing any more.",
    ),
    Recording(
        "model:kvwatch_engines:excused",
        f"""
        max_over_time(model:kvwatch_engines:rollout[1m]) == 1
        unless model:kvwatch_engines:rollout30m > {LASTS_SHARE}
        """,
        "There while alerts that a rollout would set off hold back. They ask for it themselves: Alertmanager never "
        "reports the end of an alert that ends while it is inhibited.",
    ),
    Recording(
        "model:kvwatch_target_up:count",
        f"""
        count by {MODEL} (
          count by (cluster, namespace, model_name, role, job, instance, target) (kvwatch_queue_length)
        )
        """,
        "Servers of those engines: a server with data-parallel engines has several. Sidecars all call theirs "
        "localhost, so the kvwatch that watches it is named as well.",
    ),
)

ALERTS = (
    Alert(
        "KvwatchRollout",
        "model:kvwatch_engines:rollout == 1",
        NONE,
        keep_firing="1m",
        summary=text("Engines of <model><role> are starting or leaving"),
        description=text(
            """
            Nothing is to be done, and nobody is notified: alerts that a rollout would set off wait for its end.
            A fifth of the engines of <model> or more started in the last 5 minutes or left in the last 10.
            """
        ),
        dashboard=FLEET_OF_MODEL,
    ),
    Alert(
        "KvwatchRolloutLasts",
        f"model:kvwatch_engines:rollout30m > {LASTS_SHARE}",
        WARNING,
        keep_firing="5m",
        summary=text("Engines of <model><role> have been starting or leaving for half an hour"),
        description=text(
            """
            Users of <model> have fewer engines than it should have: a fifth or more have been starting or leaving for
            half an hour, and one of them may crash again and again.
            To do: look for restarts and read the log of whatever restarts.
            While that lasts, the early page may come late or for nothing.
            """
        ),
        dashboard=FLEET_OF_MODEL,
    ),
)
