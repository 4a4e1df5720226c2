{{/* What the autoscalers of both kinds share. */}}

{{/* Whether one kvwatch watches all engines of a model, so that its own numbers of the model are whole. */}}
{{- define "kvwatch.knowsModels" -}}
{{- $part := or (include "kvwatch.isSharded" .) (include "kvwatch.ownShard" .) -}}
{{- if and (eq .Values.mode "fleet") (not $part) }}true{{ end -}}
{{- end -}}

{{/* The series that says how many replicas a model needs. Where several kvwatch have a part each, the recording rules add
their engines up: (dict "root" $ "model" … "role" … "more" …), the last being further matchers. Both fall only when less
has been enough for a while. */}}
{{- define "kvwatch.replicasSeries" -}}
{{- $own := eq (include "kvwatch.knowsModels" .root) "true" -}}
{{ $own | ternary "kvwatch_replicas_required" "model:kvwatch_replicas_required:hold5m" }}{model_name={{ quote .model }},role={{ quote .role }}{{ .more }}}
{{- end -}}

{{/* Further matchers of that series, which tell this release from another that has the same model under the same Prometheus:
those that the chart's own monitor leads to, under autoscaling.seriesLabels. The numbers of one process have its job too. */}}
{{- define "kvwatch.releaseMatchers" -}}
{{- $labels := dict -}}
{{- if and (ne .Values.mode "sidecar") .Values.monitor.enabled -}}
{{- $labels = dict "namespace" .Release.Namespace -}}
{{- if include "kvwatch.knowsModels" . -}}
{{- $_ := set $labels "job" (include "kvwatch.serviceName" .) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := mergeOverwrite $labels (deepCopy .Values.autoscaling.seriesLabels) -}}
,{{ $name }}={{ quote $value }}
{{- end -}}
{{- end -}}

{{/* The external metric of a model, by its model_name, and its role if it has one: (list model role). */}}
{{- define "kvwatch.replicasMetric" -}}
kvwatch_replicas_required_{{ regexReplaceAll "[^a-z0-9]+" (join "_" . | lower) "_" | trimAll "_" }}
{{- end -}}

{{/* What KEDA asks Prometheus. */}}
{{- define "kvwatch.replicasQuery" -}}
{{- $a := .Values.autoscaling -}}
{{- $more := include "kvwatch.releaseMatchers" . -}}
{{- if and (eq .Values.mode "sidecar") (not (hasKey $a.seriesLabels "namespace")) -}}
{{- $more = printf ",namespace=%q%s" (include "kvwatch.scaledNamespace" .) $more -}}
{{- end -}}
{{- $series := include "kvwatch.replicasSeries" (dict "root" . "model" $a.modelName "role" $a.role "more" $more) -}}
max({{ $series }})
{{- if $a.keda.kubeStateMetrics }} or max({{ include "kvwatch.targetReplicas" . }}) == 0
{{- /* A model that has just woken has no number to go on from for some minutes; what asks for more than there is is safe. */ -}}
{{- if contains ":hold5m" $series }} or max({{ replace ":hold5m" ":total" $series }}) > max({{ include "kvwatch.targetReplicas" . }}){{ end -}}
{{- end -}}
{{- end -}}

{{/* kube-state-metrics' number of replicas of the target; empty for kinds of which it has none. */}}
{{- define "kvwatch.targetReplicas" -}}
{{- $metrics := dict "Deployment" "kube_deployment_spec_replicas" "StatefulSet" "kube_statefulset_replicas" -}}
{{- with .Values.autoscaling.target -}}
{{- if and (hasKey $metrics .kind) (hasPrefix "apps/" .apiVersion) -}}
{{ get $metrics .kind }}{namespace={{ include "kvwatch.scaledNamespace" $ | quote }},{{ lower .kind }}={{ quote .name }}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where /api/v1/engines has the number, as KEDA's metrics-api trigger writes it. */}}
{{- define "kvwatch.replicasLocation" -}}
{{- with .Values.autoscaling -}}
{{- if .role -}}
models.#(model_name=={{ quote .modelName }})#|#(role=={{ quote .role }}).replicas_required
{{- else -}}
models.#(model_name=={{ quote .modelName }}).replicas_required
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What KEDA does while the metric is missing, as JSON. From one replica on nothing is best: its HPA then has no value, and
leaves the replicas as they are. To zero KEDA scales by itself, and a trigger that fails must not. */}}
{{- define "kvwatch.fallback" -}}
{{- $keep := dict "failureThreshold" 3 "replicas" 1 "behavior" "currentReplicasIfHigher" -}}
{{- default (lt (int .Values.autoscaling.minReplicas) 1 | ternary $keep dict) .Values.autoscaling.keda.fallback | toJson -}}
{{- end -}}

{{/* How fast to scale. A step up is capped at twice the replicas that there are, or two more, in a minute: a number that is
wrong once does not fill the cluster. The number of replicas falls only when less has been enough for a while; a second wait of that length
costs GPUs and saves no request. */}}
{{- define "kvwatch.behavior" -}}
{{- $a := .Values.autoscaling -}}
{{- $waits := or $a.keda.enabled (eq $a.hpa.metric "replicas_required") -}}
{{- $double := dict "type" "Percent" "value" 100 "periodSeconds" 60 -}}
{{- $two := dict "type" "Pods" "value" 2 "periodSeconds" 60 -}}
{{- $up := dict "stabilizationWindowSeconds" 0 "selectPolicy" "Max" "policies" (list $two $double) -}}
{{- $own := dict "scaleUp" $up "scaleDown" (dict "stabilizationWindowSeconds" ($waits | ternary 60 300)) -}}
{{- mergeOverwrite $own (deepCopy $a.behavior) | toYaml -}}
{{- end -}}
