{{/* What the schema cannot say: combinations that make no sense stop here, with the mend. */}}
{{- define "kvwatch.checks" -}}
{{- $v := .Values -}}
{{- if and (eq $v.mode "sidecar") (not $v.engines.matchLabels) -}}
{{- fail "mode sidecar needs engines.matchLabels: the labels of your vLLM pods, such as --set engines.matchLabels.app=vllm" -}}
{{- end -}}
{{- if and (ne $v.mode "sidecar") (not (include "kvwatch.findsEngines" .)) (not (and (eq $v.mode "fleet") $v.engines.matchLabels)) -}}
{{- fail (printf "mode %s has nothing to watch: list your engines in config.targets, or in mode fleet give engines.matchLabels, the labels of your vLLM pods" $v.mode) -}}
{{- end -}}
{{- if and (eq $v.mode "sidecar") $v.networkPolicy.enabled -}}
{{- fail "networkPolicy.enabled would cut your vLLM pods off in mode sidecar; allow kvwatch's port in your own policy instead" -}}
{{- end -}}
{{- if and (eq $v.mode "node-agent") $v.nodeAgent.hostNetwork $v.networkPolicy.enabled -}}
{{- fail "networkPolicy.enabled has no effect on pods with nodeAgent.hostNetwork; close the port by other means" -}}
{{- end -}}
{{- if and $v.podDisruptionBudget.enabled (ne $v.mode "fleet") -}}
{{- fail "podDisruptionBudget.enabled is for mode fleet: a sidecar is covered by your own budget, a DaemonSet by none" -}}
{{- end -}}
{{- if and $v.persistence.enabled (ne $v.mode "fleet") -}}
{{- fail "persistence.enabled is for mode fleet" -}}
{{- end -}}
{{- if and (gt (int $v.fleet.shards) 1) (ne $v.mode "fleet") -}}
{{- fail (printf "fleet.shards is for mode fleet: in mode %s each kvwatch has its own engines already" $v.mode) -}}
{{- end -}}
{{- if include "kvwatch.isSharded" . -}}
{{- if semverCompare "<1.28-0" .Capabilities.KubeVersion.Version -}}
{{- fail (printf "fleet.shards needs Kubernetes 1.28 or later, which gives a pod its index; this is %s" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if gt (len (include "kvwatch.fullname" .)) 52 -}}
{{- fail (printf "%s is too long for the name of a StatefulSet; set fullnameOverride to 52 characters or less" (include "kvwatch.fullname" .)) -}}
{{- end -}}
{{- with include "kvwatch.ownShard" . -}}
{{- fail (printf "fleet.shards gives each process its part; leave the shard out of %s" .) -}}
{{- end -}}
{{- if and $v.persistence.enabled $v.persistence.existingClaim -}}
{{- fail "persistence.existingClaim is one volume and fleet.shards are several processes; leave it empty, and each gets a claim of its own" -}}
{{- end -}}
{{- if ne $v.service.type "ClusterIP" -}}
{{- fail (printf "service.type %s with fleet.shards would show another part of the fleet at each request; ask Prometheus for the whole" $v.service.type) -}}
{{- end -}}
{{- if dig "traces" "enabled" false $v.config -}}
{{- fail "config.traces with fleet.shards cannot work: a span must reach the process that watches its engine, and vLLM does not know which that is" -}}
{{- end -}}
{{- end -}}
{{- $listen := include "kvwatch.listen" . -}}
{{- if not (regexMatch "^(|0\\.0\\.0\\.0|\\[::\\]):[1-9][0-9]*$" $listen) -}}
{{- fail (printf "config.server.listen %s cannot work: probes and Prometheus ask the pod's address at a known port; listen on every interface, such as \":9718\"" $listen) -}}
{{- end -}}
{{- if and (include "kvwatch.isTls" .) $v.monitor.enabled (not $v.monitor.tlsConfig) -}}
{{- fail "monitor.tlsConfig is missing, with config.server.tls: how Prometheus checks the certificate, such as {ca: {secret: {name: …, key: ca.crt}}, serverName: …} or {insecureSkipVerify: true}" -}}
{{- end -}}
{{- if dig "traces" "listen" "" $v.config -}}
{{- fail "config.traces.listen cannot work: the chart opens no port for it; leave it out, exports come to the port of config.server.listen" -}}
{{- end -}}
{{- $traces := include "kvwatch.tracesListen" . -}}
{{- if and $traces (not (include "kvwatch.tracesPort" .)) (or (hasSuffix ":0" $traces) (eq $v.mode "fleet")) -}}
{{- fail (printf "config.traces.grpc_listen %s cannot work: vLLM sends to the pod's address at a known port; listen on every interface, such as \":4317\"" $traces) -}}
{{- end -}}
{{- if and $traces (eq (splitList ":" $traces | last) (include "kvwatch.port" .)) -}}
{{- fail (printf "config.traces.grpc_listen %s is the port of config.server.listen; take another, such as \":4317\"" $traces) -}}
{{- end -}}
{{- if regexMatch "(^| )--listen( |=|$)" (join " " $v.extraArgs) -}}
{{- fail "extraArgs has --listen, which the chart's ports do not follow; set config.server.listen" -}}
{{- end -}}
{{- if and $v.prometheusRule.enabled (ne $v.mode "fleet") (not $v.prometheusRule.runbookUrl) -}}
{{- fail (printf "prometheusRule.runbookUrl is missing: in mode %s no address is every kvwatch's; give that of a copy of docs/runbooks that the people on call can open, or http://localhost:%s/runbooks for a port that they forward" $v.mode (include "kvwatch.port" .)) -}}
{{- end -}}
{{- $a := $v.autoscaling -}}
{{- if and $a.hpa.enabled $a.keda.enabled -}}
{{- fail "autoscaling.hpa.enabled and autoscaling.keda.enabled would fight over one workload; keep one of them" -}}
{{- end -}}
{{- if or $a.hpa.enabled $a.keda.enabled -}}
{{- if not $a.target.name -}}
{{- fail "autoscaling.target.name is missing: the name of the vLLM workload to scale" -}}
{{- end -}}
{{- if gt (int $a.minReplicas) (int $a.maxReplicas) -}}
{{- fail "autoscaling.minReplicas is greater than autoscaling.maxReplicas" -}}
{{- end -}}
{{- if and (eq $v.mode "sidecar") $v.engines.role (ne $v.engines.role $a.role) -}}
{{- fail (printf "engines.role is %s and autoscaling.role is %q: no engine of this release would count for the target; make them the same" $v.engines.role $a.role) -}}
{{- end -}}
{{- $pods := and $a.hpa.enabled (eq $a.hpa.metric "utilization") -}}
{{- if and $pods (ne $v.mode "sidecar") -}}
{{- fail "autoscaling.hpa.metric utilization is read off the vLLM pods, so it needs mode sidecar; use replicas_required" -}}
{{- end -}}
{{- if and (not $pods) (not $a.modelName) -}}
{{- fail "autoscaling.modelName is missing: the label model_name of the model that the target serves" -}}
{{- end -}}
{{- end -}}
{{- $recorded := and (not (include "kvwatch.knowsModels" .)) (or $a.hpa.enabled $a.keda.enabled $v.prometheusAdapter.enabled) -}}
{{- $windows := dig "estimates" "windows" (list "1m" "5m") $v.config -}}
{{- if and (or $recorded $v.prometheusRule.enabled) (not (and (has "1m" $windows) (has "5m" $windows))) -}}
{{- fail (printf "config.estimates.windows %s lacks \"1m\" or \"5m\", for which the rules and the autoscalers ask by these names; add them" (toJson $windows)) -}}
{{- end -}}
{{- if $v.prometheusAdapter.enabled -}}
{{- $named := dict -}}
{{- range $model := concat $v.prometheusAdapter.models (compact (list $a.modelName)) | uniq -}}
{{- range $role := concat (list $a.role) $v.prometheusAdapter.roles | uniq -}}
{{- $metric := include "kvwatch.replicasMetric" (list $model $role) -}}
{{- if hasKey $named $metric -}}
{{- fail (printf "prometheusAdapter.models: %s and %s would both be the metric %s; rename one of them by vLLM's --served-model-name" (get $named $metric) $model $metric) -}}
{{- end -}}
{{- $_ := set $named $metric $model -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $a.hpa.enabled (lt (int $a.minReplicas) 1) -}}
{{- fail "autoscaling.minReplicas must be 1 or more with an HPA; KEDA can go to 0" -}}
{{- end -}}
{{- if $a.keda.enabled -}}
{{- if and $a.keda.kubeStateMetrics (not (include "kvwatch.targetReplicas" .)) -}}
{{- fail (printf "autoscaling.keda.kubeStateMetrics is for a Deployment or a StatefulSet: kube-state-metrics has no replicas of a %s" $a.target.kind) -}}
{{- end -}}
{{- if lt (int $a.minReplicas) 1 -}}
{{- if ne $a.keda.trigger "prometheus" -}}
{{- fail "autoscaling.minReplicas 0 needs autoscaling.keda.trigger prometheus: without engines kvwatch has no number, and to KEDA a trigger without one has failed" -}}
{{- end -}}
{{- if not $a.keda.kubeStateMetrics -}}
{{- fail "autoscaling.minReplicas 0 needs autoscaling.keda.kubeStateMetrics, by which a model that is scaled to 0 is distinguished from one whose metrics are missing; else keep 1" -}}
{{- end -}}
{{- if not $a.keda.extraTriggers -}}
{{- fail "autoscaling.minReplicas 0 needs autoscaling.keda.extraTriggers, such as the queue of your gateway: without engines kvwatch sees no traffic, so nothing would wake the model" -}}
{{- end -}}
{{- end -}}
{{- if and (eq $a.keda.trigger "prometheus") (not $a.keda.serverAddress) -}}
{{- fail "autoscaling.keda.serverAddress is missing: the address of Prometheus, such as http://prometheus.monitoring:9090" -}}
{{- end -}}
{{- if and (eq $a.keda.trigger "metrics-api") (ne $v.mode "fleet") -}}
{{- fail "autoscaling.keda.trigger metrics-api asks one kvwatch for the whole model, so it needs mode fleet; use prometheus" -}}
{{- end -}}
{{- if and (eq $a.keda.trigger "metrics-api") (not (include "kvwatch.knowsModels" .)) -}}
{{- fail "autoscaling.keda.trigger metrics-api asks one kvwatch for the whole model, and each shard knows its part only; use prometheus with the recording rules" -}}
{{- end -}}
{{- end -}}
{{- end -}}
