{{/* The kvwatch container and the pod around it. */}}

{{- define "kvwatch.container" -}}
name: kvwatch
image: {{ include "kvwatch.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  - run
  - --config=/etc/kvwatch/kvwatch.yaml
  {{- if include "kvwatch.isSharded" . }}
  - --shard=$(KVWATCH_SHARD)/{{ int .Values.fleet.shards }}
  {{- end }}
  {{- with .Values.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or .Values.extraEnv (include "kvwatch.isSharded" .) }}
env:
  {{- if include "kvwatch.isSharded" . }}
  - name: KVWATCH_SHARD
    valueFrom:
      fieldRef:
        fieldPath: metadata.labels['apps.kubernetes.io/pod-index']
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: kvwatch
    containerPort: {{ include "kvwatch.port" . }}
  {{- with include "kvwatch.tracesPort" . }}
  - name: otlp-grpc
    containerPort: {{ . }}
  {{- end }}
{{- with .Values.startupProbe }}
startupProbe:
  {{- include "kvwatch.probe" (list $ .) | nindent 2 }}
{{- end }}
{{- with .Values.livenessProbe }}
livenessProbe:
  {{- include "kvwatch.probe" (list $ .) | nindent 2 }}
{{- end }}
{{- if ne .Values.mode "sidecar" }}
{{- with .Values.readinessProbe }}
readinessProbe:
  {{- include "kvwatch.probe" (list $ .) | nindent 2 }}
{{- end }}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- if eq .Values.mode "sidecar" }}
  {{- /* The pod is the user's, so the container says for itself as whom it runs. */}}
  {{- mergeOverwrite (pick .Values.podSecurityContext "runAsNonRoot" "runAsUser" "runAsGroup" "seccompProfile" | deepCopy) (deepCopy .Values.securityContext) | toYaml | nindent 2 }}
  {{- else }}
  {{- toYaml .Values.securityContext | nindent 2 }}
  {{- end }}
volumeMounts:
  - name: kvwatch-config
    mountPath: /etc/kvwatch
    readOnly: true
  - name: kvwatch-state
    mountPath: /var/lib/kvwatch
  {{- if eq .Values.mode "node-agent" }}
  - name: pod-logs
    mountPath: {{ .Values.nodeAgent.logPath }}
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* A probe asks as kvwatch's port speaks, unless it says itself how: (list $ probe). The kubelet checks no certificate.
What a web configuration file asks for the chart cannot know, nor can a kubelet show a certificate: then it connects. */}}
{{- define "kvwatch.probe" -}}
{{- $probe := deepCopy (last .) -}}
{{- if and $probe.httpGet (dig "server" "web_config_file" "" (first .).Values.config) -}}
{{- $probe = merge (omit $probe "httpGet") (dict "tcpSocket" (dict "port" $probe.httpGet.port)) -}}
{{- else if and $probe.httpGet (include "kvwatch.isTls" (first .)) -}}
{{- $probe = merge $probe (dict "httpGet" (dict "scheme" "HTTPS")) -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end -}}

{{- define "kvwatch.volumes" -}}
- name: kvwatch-config
  configMap:
    name: {{ include "kvwatch.fullname" . }}
{{- if not (and (include "kvwatch.isSharded" .) .Values.persistence.enabled) }}
- name: kvwatch-state
  {{- if and (eq .Values.mode "fleet") .Values.persistence.enabled }}
  persistentVolumeClaim:
    claimName: {{ default (include "kvwatch.fullname" .) .Values.persistence.existingClaim }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ eq .Values.mode "fleet" | ternary "512Mi" "64Mi" }}
  {{- end }}
{{- end }}
{{- if eq .Values.mode "node-agent" }}
- name: pod-logs
  hostPath:
    path: {{ .Values.nodeAgent.logPath }}
    type: Directory
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Whether kvwatch itself asks the Kubernetes API, so that the pod needs a token. */}}
{{- define "kvwatch.asksApi" -}}
{{- if dig "discovery" "kubernetes" "" (include "kvwatch.config" . | fromYaml) }}true{{ end -}}
{{- end -}}

{{/* The namespaces whose pods it asks for, as a JSON list; a source without any means kvwatch's own. */}}
{{- define "kvwatch.apiNamespaces" -}}
{{- $found := list -}}
{{- range (include "kvwatch.config" . | fromYaml).discovery.kubernetes -}}
{{- $found = concat $found (default (list $.Release.Namespace) .namespaces) -}}
{{- end -}}
{{- $found | uniq | toJson -}}
{{- end -}}

{{- define "kvwatch.podTemplate" -}}
metadata:
  labels:
    {{- include "kvwatch.labels" . | nindent 4 }}
    {{- with merge (dict) .Values.podLabels .Values.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include "kvwatch.config" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "kvwatch.serviceAccountName" . }}
  automountServiceAccountToken: {{ eq (include "kvwatch.asksApi" .) "true" }}
  enableServiceLinks: false
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and (eq .Values.mode "node-agent") .Values.nodeAgent.hostNetwork }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  terminationGracePeriodSeconds: {{ int .Values.terminationGracePeriodSeconds }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    {{- toYaml (eq .Values.mode "node-agent" | ternary .Values.nodeAgent.podSecurityContext .Values.podSecurityContext) | nindent 4 }}
  {{- with .Values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - {{ include "kvwatch.container" . | indent 6 | trim }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "kvwatch.volumes" . | nindent 4 }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with concat .Values.tolerations (eq .Values.mode "node-agent" | ternary .Values.nodeAgent.tolerations list) }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "kvwatch.claimSpec" -}}
accessModes:
  {{- toYaml .Values.persistence.accessModes | nindent 2 }}
{{- with .Values.persistence.storageClass }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ .Values.persistence.size }}
{{- end -}}
