"""Tickets about the watching itself: a server that cannot be read, a kvwatch that does not read or is not there."""

from __future__ import annotations

from alerts.numbers import LONG_WINDOW, SHORT_WINDOW
from alerts.promql import TARGET, WATCHER
from alerts.rule import FLEET, FLEET_OF_MODEL, WARNING, Alert, Recording
from alerts.words import text

FLAPS_CHANGES = 8
"""Changes between answering and not in a quarter of an hour that make a ticket [1]. Choice: four restarts."""
WATCHED_SHARE = 0.9
"""Share of what was watched of a model that must go on being watched [1]. Choice: one engine of ten counts; where some
of many are scraped twice, replicas that come and go move the share by less."""
_DOWN = 'up{job=~".*kvwatch.*"} == 0'

WATCHED = Recording(
    "model:kvwatch_engines:watched",
    """
    (
      count by (cluster, model_name) (kvwatch_engine_state{state="hung"})
      or count by (cluster, model_name) (vllm:num_requests_running) * 0
    )
    / count by (cluster, model_name) (vllm:num_requests_running)
    """,
    "Engines that kvwatch sees, over those that Prometheus reads from the servers themselves, where it does: only this "
    "distinguishes a kvwatch that is no longer scraped from a replica that is gone with it. By cluster and name: "
    "a kvwatch of a whole fleet is in another namespace than its engines.",
)

TARGET_DOWN = Alert(
    "KvwatchTargetDown",
    f"""
    max_over_time(kvwatch_target_up[2m]) == 0
    unless on {TARGET} max_over_time(kvwatch_engine_state{{state="hung"}}[2m]) == 1
    """,
    WARNING,
    hold="3m",
    keep_firing="1m",
    summary=text("kvwatch at <kvwatch> cannot read <target>: see if it serves"),
    description=text(
        """
        Users may get no answer from <target>, or an overload of it may come without a page:
        nothing is known of its load.
        To do: send it a request by hand, then read its /metrics from where kvwatch runs.
        kvwatch at <kvwatch> has had no good answer from it for 5 minutes or longer.
        """
    ),
    dashboard=FLEET,
)
STALE = Alert(
    "KvwatchStale",
    "sum without (result) (rate(kvwatch_scrapes_total[5m])) == 0",
    WARNING,
    hold="5m",
    keep_firing="1m",
    summary=text("kvwatch at <kvwatch> has stopped reading <target>"),
    description=text(
        """
        Users notice nothing of this, but an overload of <target> would come without a page.
        To do: restart kvwatch at <kvwatch>, and keep its log.
        It runs but has not tried to read the server for 5 minutes, and shows no estimates of it.
        """
    ),
    dashboard=FLEET,
)
DOWN = Alert(
    "KvwatchDown",
    f"""
    {_DOWN}
    or (
      group by (cluster) (last_over_time(kvwatch_build_info[1h]))
      unless on (cluster) kvwatch_build_info
      unless on (cluster) {_DOWN}
    )
    or (
      absent(kvwatch_build_info)
      unless on () last_over_time(kvwatch_build_info[1h])
      unless on () {_DOWN}
    )
    """,
    WARNING,
    hold="5m",
    keep_firing="1m",
    summary=text("kvwatch{{ with $labels.instance }} at {{ . }}{{ end }}<pod> is down<in cluster>{{ end }}"),
    description=text(
        """
        Users notice nothing of this, but an overload would come without a page.
        {{ with $labels.instance }}To do: see why kvwatch at {{ . }}<pod> does not answer Prometheus, and start it.
        {{- else }}To do: see why Prometheus scrapes no kvwatch<in cluster>{{ else }} at all{{ end }}.{{ end }}
        """
    ),
    dashboard=FLEET,
)
EMPTY = Alert(
    "KvwatchTargetEmpty",
    "max_over_time(kvwatch_target_engines[10m]) == 0",
    WARNING,
    hold="5m",
    keep_firing="1m",
    summary=text("kvwatch at <kvwatch> finds no engine at <target>: see which address it reads"),
    description=text(
        """
        Users notice nothing of this, but an overload of whatever serves at <target> would come without a page.
        To do: see what its /metrics shows, and correct its address, its metrics_path or its engine's flags.
        It has answered kvwatch at <kvwatch> for a quarter of an hour without a series that kvwatch knows.
        """
    ),
    dashboard=FLEET,
)
FLAPS = Alert(
    "KvwatchTargetFlaps",
    f"changes(kvwatch_target_up[15m]) >= {FLAPS_CHANGES}",
    WARNING,
    hold="1m",
    keep_firing="15m",
    summary=text("<target> comes and goes for kvwatch at <kvwatch>: see if it restarts"),
    description=text(
        """
        Users may lose requests at <target>, and an overload of it may come without a page:
        each time that it goes its load has to be learned again.
        To do: see if the server restarts, or is too busy to answer in time.
        By <at> kvwatch at <kvwatch> has lost or found it <whole value> times within 15 minutes.
        """
    ),
    dashboard=FLEET,
)
UNSAVED = Alert(
    "KvwatchStateNotSaved",
    """
    sum without (result) (increase(kvwatch_state_saves_total{result="failure"}[15m])) > 0
    unless sum without (result) (increase(kvwatch_state_saves_total{result="success"}[15m])) > 0
    """,
    WARNING,
    hold="5m",
    keep_firing="1m",
    summary=text("kvwatch at <kvwatch> cannot save its state: see to its volume"),
    description=text(
        """
        Users notice nothing of this; but after its next restart kvwatch would know nothing for minutes.
        To do: see in its log why the state file cannot be written, such as a full disk or a read-only folder.
        No attempt of kvwatch at <kvwatch> has succeeded for 15 minutes.
        """
    ),
    dashboard=FLEET,
)
UNWATCHED = Alert(
    "KvwatchUnwatched",
    f"""
    model:kvwatch_engines:watched < {WATCHED_SHARE} * quantile_over_time(0.5, model:kvwatch_engines:watched[2h])
    unless on (cluster) (kvwatch_target_up == 0 or {_DOWN})
    """,
    WARNING,
    hold="10m",
    keep_firing="5m",
    summary=text("No kvwatch shows Prometheus some engines of <model><in cluster>{{ end }} any more"),
    description=text(
        """
        Users notice nothing of this, but an overload of those engines of <model> would come without a page.
        To do: see which kvwatch Prometheus has lost from its list of targets, or which server kvwatch has lost
        from its. Prometheus reads the servers as before, and for 10 minutes kvwatch's part of them has been
        <percent value> of the engines, less than in the 2 hours before.
        """
    ),
    dashboard=FLEET_OF_MODEL,
    why="A kvwatch that leaves Prometheus' list of targets is not down: it is not there. KvwatchDown says so of the "
    "last one in a cluster.",
)
WINDOWS = Alert(
    "KvwatchWindowsMissing",
    f"""
    group by {WATCHER} (kvwatch_estimate_valid{{estimate=~"arrival_rate_.+"}})
    unless (
      group by {WATCHER} (kvwatch_estimate_valid{{estimate="arrival_rate_{SHORT_WINDOW}"}})
      and on {WATCHER} kvwatch_estimate_valid{{estimate="arrival_rate_{LONG_WINDOW}"}}
    )
    """,
    WARNING,
    hold="5m",
    keep_firing="1m",
    summary=text("kvwatch at <kvwatch> does not estimate over 1m and 5m, which the rules need"),
    description=text(
        f"""
        Users notice nothing of this, but an overload of what kvwatch at <kvwatch> watches would come without a page.
        To do: take estimates.windows out of its configuration, or add {SHORT_WINDOW} and {LONG_WINDOW} to it.
        No alert on load but KvwatchQueueGrowing can fire without these windows.
        """
    ),
    dashboard=FLEET,
)
RECORDINGS = (WATCHED,)
ALERTS = (TARGET_DOWN, EMPTY, FLAPS, STALE, UNSAVED, UNWATCHED, WINDOWS, DOWN)
