{{/* What a network policy must let kvwatch reach. */}}

{{- define "kvwatch.urlPort" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (eq $url.scheme "https" | ternary "443" "80") -}}
{{- end -}}

{{/* The ports of the engines, as a JSON list. A list of targets tells its ports only when it is read: `engines.port` then. */}}
{{- define "kvwatch.enginePorts" -}}
{{- $d := default (dict) .Values.config.discovery -}}
{{- $ports := list -}}
{{- $untold := or $d.files $d.http -}}
{{- range .Values.config.targets -}}
{{- $ports = append $ports (include "kvwatch.urlPort" .url | int) -}}
{{- end -}}
{{- range concat (default (list) $d.dns) (default (list) $d.kubernetes) -}}
{{- if eq (default "" .type) "SRV" -}}
{{- $untold = true -}}
{{- else -}}
{{- $port := default 8000 .port -}}
{{- $ports = append $ports (kindIs "string" $port | ternary $port (toString $port | int)) -}}
{{- end -}}
{{- end -}}
{{- if or $untold (not $ports) -}}
{{- $ports = append $ports (int .Values.engines.port) -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{/* The namespaces of the engines, as a JSON list; empty where they may be anywhere, outside of the cluster too. */}}
{{- define "kvwatch.engineWhereabouts" -}}
{{- $d := default (dict) .Values.config.discovery -}}
{{- $elsewhere := or .Values.config.targets $d.dns $d.files $d.http -}}
{{- $found := list -}}
{{- if include "kvwatch.asksApi" . -}}
{{- $found = include "kvwatch.apiNamespaces" . | fromJsonArray -}}
{{- end -}}
{{- if .Values.engines.matchLabels -}}
{{- concat (include "kvwatch.engineNamespaces" . | fromJsonArray) $found | uniq | toJson -}}
{{- else -}}
{{- empty $elsewhere | ternary $found (list) | toJson -}}
{{- end -}}
{{- end -}}

{{/* The ports of the endpoints that list targets, as a JSON list. */}}
{{- define "kvwatch.listPorts" -}}
{{- $ports := list -}}
{{- range (default (dict) .Values.config.discovery).http -}}
{{- $ports = append $ports (include "kvwatch.urlPort" .url | int) -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}
