"""Have engines gone out of sight in an incident? Then nothing says that it is over for them."""

from __future__ import annotations

from alerts.numbers import MODEL_SHARE
from alerts.promql import MODEL, TARGET, WATCHER, by_model, long, short
from alerts.rule import CRITICAL, FLEET_OF_MODEL, Alert, Recording
from alerts.words import text

PAGES = 'ALERTS{alertname=~"Kvwatch.+", alertname!="KvwatchBlind", alertstate="firing", severity="critical"}'
"""Pages that are out, but for the one about what is out of sight, which must not keep itself alive."""

IDLE = f"""kvwatch_running_requests + kvwatch_queue_length == 0
            and ignoring (window) {short("kvwatch_arrival_rate")} == 0"""
"""Engines with nothing to do: nothing is inside, and for a minute nothing has arrived."""

RECORDINGS = (
    Recording(
        "model:kvwatch_engines:paged",
        f"""
        group by {MODEL} (
          max_over_time({PAGES}[1m])
          or last_over_time(model:kvwatch_engines:blind[2m])
          or (
            max_over_time({PAGES}[10m])
            unless on {MODEL} last_over_time(model:kvwatch_engines:count[1m] offset 2m)
          )
        )
        """,
        "There while a page about the model is out, or its engines are back from being out of sight for less than two "
        "minutes. Where nothing was recorded two minutes ago Prometheus has just started, and its alerts begin from "
        "nothing: for so long pages of ten minutes ago count.",
    ),
    Recording(
        "engine:kvwatch_engines:paged",
        f"""
        (
          kvwatch_queue_length
          and on {MODEL} model:kvwatch_engines:paged
          unless (
            {IDLE}
          )
        ) * 0 + 1
        or kvwatch_queue_length * 0
        """,
        "1 for an engine that is seen in an incident, else 0: while its model is paged and the engine has something "
        "to do.",
    ),
    Recording(
        "engine:kvwatch_queue_length:lost",
        f"""
        last_over_time(kvwatch_queue_length[1h])
        and last_over_time(engine:kvwatch_engines:paged[1h]) == 1
        unless kvwatch_queue_length
        and on {TARGET} (
          kvwatch_target_up == 0
          or last_over_time(kvwatch_queue_length[1h]) and on {WATCHER} up == 0
        )
        """,
        "Engines that went out of sight in an incident, with the queue that each had: in one when last seen, within "
        "the hour, and now their server does not answer kvwatch, or kvwatch not Prometheus. Who was gone before, had "
        "seen the end of it, or was taken away since, is not among them.",
    ),
    Recording(
        "model:kvwatch_engines:lost",
        f"""
        {by_model("count", "engine:kvwatch_queue_length:lost")}
        or (
          last_over_time(model:kvwatch_engines:count[15m])
          and on {MODEL} last_over_time(engine:kvwatch_engines:paged[15m]) == 1
          unless model:kvwatch_engines:count
          unless on {MODEL} (
            last_over_time(kvwatch_queue_length[15m])
            and on {TARGET} kvwatch_queue_length
          )
        )
        """,
        "How many; and for a quarter of an hour those of a model of which nothing at all is left to be asked. Where "
        "one of its servers serves another name now, it is in sight.",
    ),
    Recording(
        "model:kvwatch_engines:all",
        """
        model:kvwatch_engines:count + model:kvwatch_engines:lost
        or model:kvwatch_engines:count
        or model:kvwatch_engines:lost
        """,
        "Those in sight and those that are lost.",
    ),
    Recording(
        "model:kvwatch_engines:blind",
        f"""
        model:kvwatch_engines:lost >= {MODEL_SHARE} * model:kvwatch_engines:all
        and model:kvwatch_engines:paged
        """,
        "Those that are lost where they are a fifth of the model or more: the rest say how it is where fewer are gone. "
        "It begins while the model is paged and holds until they have been back for two minutes: one that crashes "
        "again and again does not keep it alive.",
    ),
    Recording(
        "model:kvwatch_engines:unsettled",
        f"""
        count by {MODEL} (
          kvwatch_queue_length
          unless ignoring (window) {long("kvwatch_utilization")}
          unless ignoring (window) ({long("kvwatch_arrival_rate")} == 0)
        )
        """,
        "Engines in sight of which it is not known how loaded they are: not over five minutes, and not that they are "
        "idle.",
    ),
)

ALERTS = (
    Alert(
        "KvwatchBlind",
        """
        model:kvwatch_engines:blind
        or last_over_time(model:kvwatch_engines:blind[15m]) and model:kvwatch_engines:unsettled
        """,
        CRITICAL,
        hold="2m",
        keep_firing="2m",
        summary=text(
            "<whole value> of <all engines> engines of <model><role> went out of sight in an incident: "
            "see if they answer"
        ),
        description=text(
            """
            Users of <model> may get no answer: <whole value> of its <all engines> engines went out of sight
            while a page about it was out or just over, and nothing says that the incident is over for them.
            To do: send a request by hand to those below, and restart what does not answer.<waited>
            At <at>: <load in sight>, <last queue> requests waiting.
            Out of sight:<five of them><and more>.
            """
        ),
        dashboard=FLEET_OF_MODEL,
        why="What cannot be seen any more goes on: a page is not over because of that. Engines that are back need "
        "minutes until ρ is known, and a page about them one more.",
    ),
)
