"""The slots of the texts of alerts: names, numbers of an engine, and sentences that depend on them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from alerts.load_slots import LOAD_SLOTS
from alerts.templates import a_minute, asked, number, of_engine, of_model, percent

NAMES = {
    "model": "{{ $labels.model_name }}",
    "role": "{{ with $labels.role }} ({{ . }}){{ end }}",
    "target": "{{ $labels.target }}",
    "pod": "{{ with $labels.pod }} in {{ . }}{{ end }}",
    "in cluster": "{{ with $labels.cluster }} in cluster {{ . }}",
    "kvwatch": "{{ $labels.instance }}<pod>",
    "engine": "engine {{ $labels.engine }} of <model> on <target> (watched by <kvwatch>)",
    "the engine": "Engine {{ $labels.engine }} of <model> on <target> (watched by <kvwatch>)",
    "percent value": "{{ $value | humanizePercentage }}",
    "duration": "{{ $value | humanizeDuration }}",
    "whole value": '{{ $value | printf "%.0f" }}',
}
"""Who it is about. Every sidecar calls its server localhost: only who watches it tells two of them apart."""

ENGINE_NUMBERS = {
    "engine load": number('100 * kvwatch_utilization{window="1m",%s}', "$e", "%.0f%%"),
    "engine λ": number('kvwatch_arrival_rate{window="1m",%s}', "$e"),
    "engine μ": of_engine("kvwatch_service_rate"),
    "engine within target": number("min(kvwatch_slo_service_rate{%s})", "$e"),
    "engine queue": of_engine("kvwatch_queue_length", "%.0f"),
    "engine a minute": a_minute("kvwatch_queue_slope{%s}", "$e"),
    "engine serves": of_engine("kvwatch_observed_service_rate"),
    "wave growth": of_engine("kvwatch_congestion_growth_ratio", "%.1f"),
    "gain": number("100 * kvwatch_recommended_gain_ratio{%s}", "$e", "%.0f%%"),
    "loss": percent("avg_over_time(kvwatch_congestion_loss_ratio{%s}[5m])"),
    "gap": percent("min_over_time(kvwatch_model_gap_ratio{%s}[5m])"),
}
"""Of the alert's engine: percent, requests/s, requests."""

REASON = (
    "{{ with " + asked('kvwatch_estimate_valid{estimate="utilization",%s} == 0', "$e") + " }}"
    "{{ range $i, $r := . }}{{ if $i }}, {{ end }}{{ $r.Labels.reason }}{{ end }}{{ else }}unknown{{ end }}"
)
_ADVISED = asked("kvwatch_recommended_max_num_seqs{%s}", "$e")
SET_SEATS = (
    "{{ with " + _ADVISED + ' }}--max-num-seqs {{ . | first | value | printf "%.0f" }} serves <gain> more'
    "{{ else }}see what fills its memory{{ end }}"
)
RECOMMENDATION = (
    "{{ with " + _ADVISED + " }}"
    'restart it with --max-num-seqs {{ . | first | value | printf "%.0f" }}, which serves <gain> more.'
    "{{ else }}{{ with " + asked('kvwatch_estimate_valid{estimate="recommendation",%s} == 1', "$e") + " }}"
    "send it less or give it more memory; no other --max-num-seqs surely gains 3%."
    "{{ else }}send it less or give it more memory. Whether another --max-num-seqs would help is not known"
    "{{ with " + asked('kvwatch_estimate_valid{estimate="recommendation",%s} == 0', "$e") + " }}"
    ' (reason {{ . | first | label "reason" }}){{ end }}.{{ end }}{{ end }}'
)

LOST = {
    "all engines": of_model("model:kvwatch_engines:all", "%.0f"),
    "waited": "{{ with " + asked("sum(engine:kvwatch_queue_length:lost{%s})", "$m") + " }}"
    ' When last seen, {{ . | first | value | printf "%.0f" }} requests waited in them.{{ end }}',
    "load in sight": "{{ with "
    + asked("100 * model:kvwatch_utilization:ratio1m{%s}", "$m")
    + ' }}a load of {{ . | first | value | printf "%.0f%%" }} in sight'
    "{{ else }}a last known load of <last load>{{ end }}",
    "last load": number("100 * last_over_time(model:kvwatch_utilization:ratio5m{%s}[1h])", "$m", "%.0f%%"),
    "last queue": number("last_over_time(model:kvwatch_queue_length:sum{%s}[1h])", "$m", "%.0f"),
    "five of them": "{{ range "
    + asked("topk(5, max by (target, instance) (engine:kvwatch_queue_length:lost{%s}))", "$m")
    + ' | sortByLabel "target" }} {{ .Labels.target }} (watched by {{ .Labels.instance }})'
    "{{ else }}<all or none>{{ end }}",
    "all or none": "{{ if "
    + asked("model:kvwatch_engines:lost{%s}", "$m")
    + " }} all{{ else }} none any more, but how loaded they are is not known yet{{ end }}",
    "and more": "{{ with "
    + asked("count(group by (target, instance) (engine:kvwatch_queue_length:lost{%s})) - 5 > 0", "$m")
    + ' }} and {{ . | first | value | printf "%.0f" }} more{{ end }}',
}
"""Of engines that are out of sight."""

SLOTS: Mapping[str, str] = MappingProxyType(
    NAMES
    | LOAD_SLOTS
    | ENGINE_NUMBERS
    | LOST
    | {"reason": REASON, "set seats": SET_SEATS, "recommendation": RECOMMENDATION}
)
"""Every slot."""
