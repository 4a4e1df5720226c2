"""Tickets about the watching itself: a server that cannot be read, a kvwatch that does not read or is not there."""

from __future__ import annotations

from alerts.rule import FLEET, WARNING, Alert
from alerts.words import text

_DOWN = 'up{job=~".*kvwatch.*"} == 0'

TARGET_DOWN = Alert(
    "KvwatchTargetDown",
    "max_over_time(kvwatch_target_up[2m]) == 0",
    WARNING,
    hold="3m",
    keep_firing="1m",
    summary=text("kvwatch at <kvwatch> cannot read <target>"),
    description=text(
        """
        kvwatch at <kvwatch> has had no good answer from <target> for 5 minutes or longer.
        Nothing is known of its load.
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
        kvwatch at <kvwatch> runs but has not tried to read <target> for 5 minutes.
        Its estimates are withheld.
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
        {{ with $labels.instance }}kvwatch at {{ . }}<pod> does not answer Prometheus.
        No alert about the load of what it watches can fire.
        {{- else }}No kvwatch is scraped<in cluster>{{ else }} at all{{ end }}.
        No alert about load can fire.{{ end }}
        """
    ),
    dashboard=FLEET,
)
ALERTS = (TARGET_DOWN, STALE, DOWN)
