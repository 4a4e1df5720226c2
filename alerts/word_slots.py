"""The slots of the texts of alerts: names, numbers of a model or an engine, and sentences that depend on them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


def _asked(query: str, selector: str) -> str:
    """A template's ``query``: each ``%s``, or all ``%[1]s``, stand for the matchers of the alert's model or engine."""
    quoted = query.replace('"', r"\"")
    arguments = f" {selector}" * max(query.count("%s"), 1)
    return f'query (printf "{quoted}"{arguments})'


def _shown(asked: str, form: str, otherwise: str) -> str:
    """The answer in a format, or words where there is none."""
    return "{{ with " + asked + ' }}{{ . | first | value | printf "' + form + '" }}{{ else }}' + otherwise + "{{ end }}"


FORMS = MappingProxyType({"%.2f": "number", "%.0f": "whole", "%+.2f": "slope"})
"""Templates within the texts that show the answer to a query in a format, or "unknown"."""
DEFINITIONS = MappingProxyType(
    {
        name: '{{ define "' + name + '" }}' + _shown("query .", form, "unknown") + "{{ end -}}"
        for form, name in FORMS.items()
    }
)
"""What defines each of them; a line of its own, since every text is a world of its own to Prometheus."""


def _number(query: str, selector: str, form: str = "%.2f", otherwise: str = "unknown") -> str:
    """A number in a format, or words where there is none."""
    asked = _asked(query, selector)
    if form not in FORMS or otherwise != "unknown":
        return _shown(asked, form, otherwise)
    return '{{ template "' + FORMS[form] + '" ' + asked.removeprefix("query ") + " }}"


def _model(series: str, form: str = "%.2f") -> str:
    return _number(f"{series}{{%s}}", "$m", form)


def _engine(series: str, form: str = "%.2f") -> str:
    return _number(f"{series}{{%s}}", "$e", form)


def _engine_5m(metric: str) -> str:
    return _number(f'{metric}{{window="5m",%s}}', "$e")


def _percent(query: str) -> str:
    """Of the alert's engine; the alert's value where it is not there any more."""
    return _number(f"100 * {query}", "$e", "%.0f%%", "{{ $value | humanizePercentage }}")


NAMES = {
    "model": "{{ $labels.model_name }}",
    "role": "{{ with $labels.role }} ({{ . }}){{ end }}",
    "target": "{{ $labels.target }}",
    "pod": "{{ with $labels.pod }} in {{ . }}{{ end }}",
    "in cluster": "{{ with $labels.cluster }} in cluster {{ . }}",
    "kvwatch": "{{ $labels.instance }}<pod>",
    "engine": "Engine {{ $labels.engine }} of <model> on <target> (watched by <kvwatch>)",
    "value": '{{ $value | printf "%.2f" }}',
    "whole value": '{{ $value | printf "%.0f" }}',
}
"""Who it is about. Every sidecar calls its server localhost: only who watches it tells two of them apart."""

MODEL_NUMBERS = {
    "ρ 5m": _model("model:kvwatch_utilization:ratio5m"),
    "ρ 1m": _model("model:kvwatch_utilization:ratio1m"),
    "limit": _model("model:kvwatch_stable_limit:avg"),
    "λ 5m": _model("model:kvwatch_arrival_rate:sum5m"),
    "λ": _number("model:kvwatch_arrival_rate:sum5m{%[1]s} or model:kvwatch_arrival_rate:sum1m{%[1]s}", "$m"),
    "μ": _model("model:kvwatch_service_rate:sum"),
    "queue": _model("model:kvwatch_queue_length:sum", "%.0f"),
    "queue slope": _model("model:kvwatch_queue_slope:sum", "%+.2f"),
    "engines": _model("model:kvwatch_engines:count", "%.0f"),
    "replicas": _model("model:kvwatch_target_up:count", "%.0f"),
    "replicas to add": _model("model:kvwatch_replicas_required:missing", "%.0f"),
}
"""Of the alert's model: ratios, requests/s, requests, replicas."""

ENGINE_NUMBERS = {
    "engine ρ": _engine_5m("kvwatch_utilization"),
    "engine λ": _engine_5m("kvwatch_arrival_rate"),
    "engine μ": _engine("kvwatch_service_rate"),
    "engine queue slope": _engine("kvwatch_queue_slope", "%+.2f"),
    "engine serves": _engine("kvwatch_observed_service_rate"),
    "wave growth": _engine("kvwatch_congestion_growth_ratio", "%.1f"),
    "gain": _number("100 * kvwatch_recommended_gain_ratio{%s}", "$e", "%.0f%%"),
    "loss": _percent("avg_over_time(kvwatch_congestion_loss_ratio{%s}[5m])"),
    "gap": _percent("min_over_time(kvwatch_model_gap_ratio{%s}[5m])"),
}
"""Of the alert's engine: ratios, requests/s, percent."""

BINDING = (
    "{{ with " + _asked("count by (limit) (kvwatch_binding_limit{%s})", "$m") + " }}"
    "{{ range . }} {{ .Labels.limit }}{{ end }}{{ else }} unknown{{ end }}"
)
TIME_TO_SATURATION = (
    "{{ with " + _asked("round(model:kvwatch_time_to_saturation_seconds:min{%s}, 10)", "$m") + " }}"
    "{{ if . | first | value }}{{ . | first | value | humanizeDuration }}{{ else }}none is left{{ end }}"
    "{{ else }}no trend{{ end }}"
)
RHO_BOTH = (
    "{{ with " + _asked("model:kvwatch_utilization:ratio5m{%s}", "$m") + " }}"
    '{{ . | first | value | printf "%.2f" }} over 5 minutes and {{ end }}<ρ 1m> over the last one'
)
SINCE = (
    "{{ if " + _asked("model:kvwatch_utilization:ratio5m{%s}", "$m") + " }}"
    "a quarter of an hour{{ else }}a minute or more{{ end }}"
)
_EARLY = "model:kvwatch_time_to_saturation_seconds:early{%s}"
STAGES = {
    "at the limit?": "{{ if " + _asked(f"{_EARLY} == 0", "$m") + " }}",
    "or soon?": "{{- else if " + _asked(_EARLY, "$m") + " }}",
    "or close": "{{- else }}",
    "end": "{{ end }}",
}
"""Words for the three reasons of the early page come between these."""

REASON = (
    "{{ with " + _asked('kvwatch_estimate_valid{estimate="utilization",%s} == 0', "$e") + " }}"
    "{{ range . }}{{ .Labels.reason }} {{ end }}{{ else }}unknown{{ end }}"
)
RECOMMENDATION = (
    "{{ with " + _asked("kvwatch_recommended_max_num_seqs{%s}", "$e") + " }}"
    'Recommended max_num_seqs: {{ . | first | value | printf "%.0f" }}, predicted gain: <gain>.'
    " {{- else }} {{- with " + _asked('kvwatch_estimate_valid{estimate="recommendation",%s} == 1', "$e") + " }}"
    "No other max_num_seqs surely gains 3%."
    " {{- else }}Whether another max_num_seqs would help is not known"
    " {{- with " + _asked('kvwatch_estimate_valid{estimate="recommendation",%s} == 0', "$e") + " }}"
    ' (reason {{ . | first | label "reason" }}){{ end }}.{{ end }}{{ end }}'
)

LOST = {
    "all engines": _model("model:kvwatch_engines:all", "%.0f"),
    "waited": "{{ with " + _asked("sum(engine:kvwatch_queue_length:lost{%s})", "$m") + " }}"
    ' When last seen, {{ . | first | value | printf "%.0f" }} requests waited in them.{{ end }}',
    "ρ in sight": "{{ with "
    + _asked("model:kvwatch_utilization:ratio5m{%[1]s} or model:kvwatch_utilization:ratio1m{%[1]s}", "$m")
    + ' }}In sight: ρ {{ . | first | value | printf "%.2f" }},{{ else }}Last known: ρ <last ρ>,{{ end }}',
    "last ρ": _number("last_over_time(model:kvwatch_utilization:ratio5m{%s}[1h])", "$m"),
    "last queue": _number("last_over_time(model:kvwatch_queue_length:sum{%s}[1h])", "$m", "%.0f"),
    "five of them": "{{ range "
    + _asked("topk(5, max by (target, instance) (engine:kvwatch_queue_length:lost{%s}))", "$m")
    + ' | sortByLabel "target" }} {{ .Labels.target }} (watched by {{ .Labels.instance }})'
    "{{ else }}<all or none>{{ end }}",
    "all or none": "{{ if "
    + _asked("model:kvwatch_engines:lost{%s}", "$m")
    + " }} all{{ else }} none any more, but how loaded they are is not known yet{{ end }}",
    "and more": "{{ with "
    + _asked("count(group by (target, instance) (engine:kvwatch_queue_length:lost{%s})) - 5 > 0", "$m")
    + ' }} and {{ . | first | value | printf "%.0f" }} more{{ end }}',
}
"""Of engines that are out of sight."""

SLOTS: Mapping[str, str] = MappingProxyType(
    NAMES
    | MODEL_NUMBERS
    | ENGINE_NUMBERS
    | STAGES
    | LOST
    | {
        "binding": BINDING,
        "time to saturation": TIME_TO_SATURATION,
        "ρ over both": RHO_BOTH,
        "since": SINCE,
        "reason": REASON,
        "recommendation": RECOMMENDATION,
    }
)
"""Every slot."""
