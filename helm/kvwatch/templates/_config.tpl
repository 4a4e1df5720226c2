{{/* kvwatch.yaml: what the mode needs, and the user's `config` over it. */}}

{{/* The role of the engines. Beside each engine of the pool that is scaled it is that pool's; a fleet may hold both. */}}
{{- define "kvwatch.engineRole" -}}
{{- .Values.engines.role | default (eq .Values.mode "sidecar" | ternary .Values.autoscaling.role "") -}}
{{- end -}}

{{- define "kvwatch.engineSettings" -}}
{{- with .Values.engines.maxNumSeqs }}
max_num_seqs: {{ int . }}
{{- end }}
{{- with .Values.engines.maxNumBatchedTokens }}
max_num_batched_tokens: {{ int . }}
{{- end }}
{{- with include "kvwatch.engineRole" . }}
role: {{ . }}
{{- end }}
{{- end -}}

{{/* Whether the user's `config` says itself where engines are; limits of discovery alone, such as max_targets, do not. */}}
{{- define "kvwatch.findsEngines" -}}
{{- $d := default (dict) .Values.config.discovery -}}
{{- if or .Values.config.targets $d.dns $d.files $d.http $d.kubernetes }}true{{ end -}}
{{- end -}}

{{- define "kvwatch.modeConfig" -}}
server:
  listen: ":9718"
log:
  format: json
estimates:
  state_file: /var/lib/kvwatch/state.json
{{- if eq .Values.mode "sidecar" }}
targets:
  - url: http://localhost:{{ int .Values.engines.port }}
    {{- include "kvwatch.engineSettings" . | nindent 4 }}
{{- else if and (eq .Values.mode "fleet") .Values.engines.matchLabels (not (include "kvwatch.findsEngines" .)) }}
discovery:
  kubernetes:
    - namespaces: {{ include "kvwatch.engineNamespaces" . }}
      label_selector: {{ include "kvwatch.labelSelector" .Values.engines.matchLabels | quote }}
      port: {{ int .Values.engines.port }}
      {{- with include "kvwatch.engineSettings" . }}
      target:
        {{- . | nindent 8 }}
      {{- end }}
{{- end }}
{{- end -}}

{{/* Where kvwatch listens, and the port of that. */}}
{{- define "kvwatch.listen" -}}
{{- (default (dict) .Values.config.server).listen | default ":9718" -}}
{{- end -}}
{{- define "kvwatch.port" -}}
{{- include "kvwatch.listen" . | splitList ":" | last -}}
{{- end -}}

{{/* Whether that speaks TLS. */}}
{{- define "kvwatch.isTls" -}}
{{- if (default (dict) .Values.config.server).tls }}true{{ end -}}
{{- end -}}

{{/* The port on which other pods can send traces over gRPC; empty where they cannot. */}}
{{- define "kvwatch.tracesListen" -}}
{{- $traces := default (dict) .Values.config.traces -}}
{{- if $traces.enabled }}{{ default "" $traces.grpc_listen }}{{ end -}}
{{- end -}}
{{- define "kvwatch.tracesPort" -}}
{{- $listen := include "kvwatch.tracesListen" . -}}
{{- if regexMatch "^(|0\\.0\\.0\\.0|\\[::\\]):[1-9][0-9]*$" $listen }}{{ splitList ":" $listen | last }}{{ end -}}
{{- end -}}

{{- define "kvwatch.config" -}}
{{- mergeOverwrite (include "kvwatch.modeConfig" . | fromYaml) (deepCopy .Values.config) | toYaml -}}
{{- end -}}
