{{/* Names and labels. */}}

{{- define "kvwatch.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that select kvwatch's own pods; they never change within a release. */}}
{{- define "kvwatch.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The chart's own labels; the schema refuses them among the user's, since a key may be there once only. */}}
{{- define "kvwatch.labels" -}}
{{ include "kvwatch.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* metadata of an object: (dict "root" $ "name" … "namespace" … "labels" … "annotations" …), all but root optional. */}}
{{- define "kvwatch.metadata" -}}
name: {{ default (include "kvwatch.fullname" .root) .name }}
namespace: {{ default .root.Release.Namespace .namespace }}
labels:
  {{- include "kvwatch.labels" .root | nindent 2 }}
  {{- with merge (dict) (default (dict) .labels) .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "kvwatch.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "kvwatch.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "kvwatch.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The namespaces of the engines, as a JSON list. */}}
{{- define "kvwatch.engineNamespaces" -}}
{{- default (list .Release.Namespace) .Values.engines.namespaces | uniq | toJson -}}
{{- end -}}

{{/* Where the workload to scale is. */}}
{{- define "kvwatch.scaledNamespace" -}}
{{- default (include "kvwatch.engineNamespaces" . | fromJsonArray | first) .Values.autoscaling.namespace -}}
{{- end -}}

{{/* {a: b, c: d} as "a=b,c=d", a label selector. */}}
{{- define "kvwatch.labelSelector" -}}
{{- $terms := list -}}
{{- range $key, $value := . -}}
{{- $terms = append $terms (printf "%s=%s" $key $value) -}}
{{- end -}}
{{- join "," $terms -}}
{{- end -}}

{{/* Whether the chart itself splits the engines over processes. */}}
{{- define "kvwatch.isSharded" -}}
{{- if and (eq .Values.mode "fleet") (gt (int .Values.fleet.shards) 1) }}true{{ end -}}
{{- end -}}

{{/* The part of the engines that the user has given this release; empty is all of them. */}}
{{- define "kvwatch.ownShard" -}}
{{- $shard := dig "discovery" "shard" "" .Values.config -}}
{{- if not (has $shard (list "" "0/1")) }}config.discovery.shard{{ else if regexMatch "(^| )--shard( |=|$)" (join " " .Values.extraArgs) }}extraArgs{{ end -}}
{{- end -}}

{{/* The service of mode `fleet`. A headless one has another name, because a service cannot become headless. */}}
{{- define "kvwatch.serviceName" -}}
{{- if include "kvwatch.isSharded" . -}}
{{- printf "%s-shards" (include "kvwatch.fullname" .) -}}
{{- else -}}
{{- include "kvwatch.fullname" . -}}
{{- end -}}
{{- end -}}

{{/* Where alerts lead to: what is given; else kvwatch's own service. Where there is none it has to be given. */}}
{{- define "kvwatch.runbookUrl" -}}
{{- if .Values.prometheusRule.runbookUrl -}}
{{- .Values.prometheusRule.runbookUrl -}}
{{- else -}}
{{- $scheme := ternary "https" "http" (ne (include "kvwatch.isTls" .) "") -}}
{{- printf "%s://%s.%s.svc:%d/runbooks" $scheme (include "kvwatch.serviceName" .) .Release.Namespace (int .Values.service.port) -}}
{{- end -}}
{{- end }}
