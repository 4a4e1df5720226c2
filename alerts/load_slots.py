"""The slots of the pages about a model's load: its numbers over the last minute, what is so now, what to do."""

from __future__ import annotations

from types import MappingProxyType

from alerts.advice import ENOUGH
from alerts.advice import GAIN as MODEL_GAIN
from alerts.stages import EASED, STAGES
from alerts.templates import a_minute, asked, number, of_model
from kvwatch.export.summary import SHORT_LIMIT_WORDS

LOAD_1M = "100 * model:kvwatch_utilization:ratio1m{%s}"
GAIN = f"100 * {MODEL_GAIN}{{%s}}"
MODEL_NUMBERS = {
    "load": number(LOAD_1M, "$m", "%.0f%%"),
    "load 5m": number("100 * model:kvwatch_utilization:ratio5m{%s}", "$m", "%.0f%%"),
    "limit": number("100 * model:kvwatch_stable_limit:avg{%s}", "$m", "%.0f%%"),
    "λ": of_model("model:kvwatch_arrival_rate:sum1m"),
    "μ": of_model("model:kvwatch_service_rate:sum"),
    "queue": of_model("model:kvwatch_queue_length:sum", "%.0f"),
    "a minute": a_minute("model:kvwatch_queue_slope:sum{%s}", "$m"),
    "engines": of_model("model:kvwatch_engines:count", "%.0f"),
    "replicas": of_model("model:kvwatch_target_up:count", "%.0f"),
}
"""Of the alert's model: percent, requests/s, requests, replicas."""

AT = '{{ with query "time()" }}{{ (. | first | value | toTime).Format "15:04" }} UTC{{ end }}'
"""When the numbers are of: a ticket's stand still while it outlives its reason, and a page may be read late."""
_LIMITS = [f'{{{{ if eq .Labels.limit "{limit}" }}}}{words}' for limit, words in SHORT_LIMIT_WORDS.items()]
BINDING = (
    "{{ with " + asked("count by (limit) (kvwatch_binding_limit{%s} == 1)", "$m") + " }}"
    "{{ range $i, $b := . }}{{ if $i }} and {{ end }}{{ with $b }}"
    + "{{ else }}".join(_LIMITS)
    + "{{ end }}" * len(_LIMITS)
    + "{{ end }}{{ end }}{{ else }}what is not known{{ end }}"
)
MINUTES_LEFT = (
    "{{ with " + asked("clamp_min(round(model:kvwatch_time_to_saturation_seconds:min{%s} / 60), 1)", "$m") + " }}"
    '{{ . | first | value | printf "%.0f" }}{{ else }}some{{ end }} min'
)
SEATS = (
    "--max-num-seqs "
    + number("min(kvwatch_recommended_max_num_seqs{%s})", ".", "%.0f")
    + "{{ with "
    + asked("max(kvwatch_recommended_max_num_seqs{%[1]s}) > min(kvwatch_recommended_max_num_seqs{%[1]s})", ".")
    + ' }} to {{ . | first | value | printf "%.0f" }} (each engine its own){{ end }}'
)
_MORE = number(GAIN, ".", "%.0f%%")
_IF_SEATS_ARE_ENOUGH = "{{ if " + asked(ENOUGH + "{%s}", ".") + " }}"
_REPLICAS = (
    "{{ with " + asked("model:kvwatch_replicas_required:missing{%s}", ".") + " }}"
    'add {{ . | first | value | printf "%.0f" }} replica{{ if gt (. | first | value) 1.0 }}s{{ end }}'
    "{{ else }}{{ if " + asked("model:kvwatch_replicas_required:hold5m{%s}", ".") + " }}"
    "start one more replica (an autoscaler would not do so yet){{ else }}add replicas{{ end }}{{ end }}"
)
"""The number that scales the fleet, or that it asks for none yet: a rise shows before it is sure how far it goes."""
LOAD_DEFINITIONS = MappingProxyType(
    {
        "seats": '{{ define "seats" }}' + SEATS + "{{ end -}}",
        "do": '{{ define "do" }}' + _IF_SEATS_ARE_ENOUGH + 'set {{ template "seats" . }}: it serves ' + _MORE
        + " more, which is enough{{ else }}" + _REPLICAS + "{{ end }}{{ end -}}",
        "more": '{{ define "more" }}' + _IF_SEATS_ARE_ENOUGH
        + "That needs a restart of each engine, one after another, and no replica."
        + "{{ else }}Until they serve, take off load that can wait.{{ if "
        + asked(GAIN, ".") + ' }} {{ template "seats" . }} alone serves ' + _MORE + " more: not enough.{{ end }}"
        + "{{ end }}{{ end -}}",
    }
)  # fmt: skip
"""What to do, the cheaper mend first, in the order and with the numbers of kvwatch's own page; matchers are ``.``."""
EARLY = "model:kvwatch_time_to_saturation_seconds:early{%s}"
STAGE_WORDS = {f"{stage.name}?": "{{ if " + asked(stage.series + "{%s}", "$m") + " }}" for stage in STAGES} | {
    "known?": "{{ if " + asked(LOAD_1M, "$m") + " }}",
    "full?": "{{ if " + asked(f"{EARLY} == 0", "$m") + " }}",
    "or soon?": "{{- else if " + asked(EARLY, "$m") + " }}",
    "or eased?": "{{- else if " + asked(EASED + "{%s}", "$m") + " }}",
    "or known?": "{{- else if " + asked(LOAD_1M, "$m") + " }}",
    "or": "{{- else }}",
    "end": "{{ end }}",
}
"""Words for what is so now come between these."""
DRAINED = (
    "{{ with " + asked("clamp_min(round(max(kvwatch_backlog_drain_seconds{%s}) / 60), 1)", "$m") + " }}"
    ' The queue is empty in about {{ . | first | value | printf "%.0f" }} min.{{ end }}'
)

LOAD_SLOTS = (
    MODEL_NUMBERS
    | STAGE_WORDS
    | {
        "do": '{{ template "do" $m }}',
        "do more": '{{ template "more" $m }}',
        "at": AT,
        "binding": BINDING,
        "minutes left": MINUTES_LEFT,
        "drained": DRAINED,
    }
)
"""Every slot of these pages."""
