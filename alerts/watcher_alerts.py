"""Tickets about the watching itself: a server that cannot be read, a kvwatch that does not read or is not there."""

from __future__ import annotations

from alerts.promql import TARGET
from alerts.rule import FLEET, WARNING, Alert
from alerts.words import text

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
ALERTS = (TARGET_DOWN, STALE, DOWN)
