{{/* kvwatch.yaml: what the mode needs, and the user's `config` over it. */}}

{{- define "kvwatch.engineSettings" -}}
{{- with .Values.engines.maxNumSeqs }}
max_num_seqs: {{ int . }}
{{- end }}
{{- with .Values.engines.maxNumBatchedTokens }}
max_num_batched_tokens: {{ int . }}
{{- end }}
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
{{- else if and (eq .Values.mode "fleet") .Values.engines.matchLabels (not .Values.config.targets) (not .Values.config.discovery) }}
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

{{- define "kvwatch.config" -}}
{{- mergeOverwrite (include "kvwatch.modeConfig" . | fromYaml) (deepCopy .Values.config) | toYaml -}}
{{- end -}}
