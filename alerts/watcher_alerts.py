"""Tickets about the watching itself: a server that cannot be read, a kvwatch that does not read or is not there."""

from __future__ import annotations

from alerts.promql import TARGET
from alerts.rule import FLEET, WARNING, Alert
from alerts.words import text

FLAPS_CHANGES = 8
"""Changes between answering and not in a quarter of an hour that make a ticket [1]. Choice: four restarts."""
_DOWN = 'up{job=~".*kvwatch.*"} == 0'

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
ALERTS = (TARGET_DOWN, EMPTY, FLAPS, STALE, UNSAVED, DOWN)
