{{/* What the autoscalers of both kinds share. */}}

{{/* Whether one kvwatch watches all engines of a model, so that its own numbers of the model are whole. */}}
{{- define "kvwatch.knowsModels" -}}
{{- $part := or (include "kvwatch.isSharded" .) (include "kvwatch.ownShard" .) -}}
{{- if and (eq .Values.mode "fleet") (not $part) }}true{{ end -}}
{{- end -}}

{{/* The series that says how many replicas a model needs. Where several kvwatch have a part each, the recording rules add
their engines up: (dict "root" $ "model" … "more" …), the last two being the model's name and further matchers. */}}
{{- define "kvwatch.replicasSeries" -}}
{{- $own := eq (include "kvwatch.knowsModels" .root) "true" -}}
{{ $own | ternary "kvwatch_replicas_required" "model:kvwatch_replicas_required:ceil5m" }}{model_name={{ quote .model }}{{ .more }}}
{{- end -}}

{{/* The external metric of a model, by its model_name. */}}
{{- define "kvwatch.replicasMetric" -}}
kvwatch_replicas_required_{{ regexReplaceAll "[^a-z0-9]+" (lower .) "_" | trimAll "_" }}
{{- end -}}

{{/* What KEDA asks Prometheus. */}}
{{- define "kvwatch.replicasQuery" -}}
{{- $more := "" -}}
{{- if eq .Values.mode "sidecar" -}}
{{- $more = printf ", namespace=%q" (include "kvwatch.scaledNamespace" .) -}}
{{- end -}}
max({{ include "kvwatch.replicasSeries" (dict "root" . "model" .Values.autoscaling.modelName "more" $more) }})
{{- end -}}

{{/* How fast to scale. kvwatch's own number falls only when less has been enough for a while; a second wait of that length
costs GPUs and saves no request. */}}
{{- define "kvwatch.behavior" -}}
{{- $a := .Values.autoscaling -}}
{{- $waits := and (include "kvwatch.knowsModels" .) (or $a.keda.enabled (eq $a.hpa.metric "replicas_required")) -}}
{{- $down := $waits | empty | ternary 300 60 -}}
{{- $own := dict "scaleUp" (dict "stabilizationWindowSeconds" 0) "scaleDown" (dict "stabilizationWindowSeconds" $down) -}}
{{- mergeOverwrite $own (deepCopy $a.behavior) | toYaml -}}
{{- end -}}
