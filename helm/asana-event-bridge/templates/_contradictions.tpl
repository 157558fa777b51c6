{{/* Stops the rendering if values contradict each other, or would fail only in the cluster. */}}
{{- define "bridge.contradictions" -}}
{{- $config := .Values.config }}
{{- $sink := $config.sink | default dict }}
{{- if not $config.accounts }}
{{- fail "config.accounts is empty: name a credential, such as `main: {token: {file: /secrets/asana/token}}`; see helm/examples" }}
{{- end }}
{{- if not (or $config.streams ($config.discovery | default dict).rules) }}
{{- fail "config.streams is empty, and config.discovery has no rules: name at least one stream, such as `- resource: \"1204619611402340\"`" }}
{{- end }}
{{- if ne (len $sink) 1 }}
{{- fail "config.sink must be exactly one of kafka and nats" }}
{{- end }}
{{- if ($config.admin | default dict).listen }}
{{- fail "config.admin.listen is set by the chart: probes, Service and monitors use port 8080" }}
{{- end }}
{{- with $config.webhooks }}
{{- if not (and .publicUrl .key) }}
{{- fail "config.webhooks needs publicUrl, the URL at which Asana reaches the Service -webhooks, and key, such as `{file: /secrets/webhooks/key}`" }}
{{- end }}
{{- end }}
{{- if and $config.replica (not (contains "${" $config.replica)) }}
{{- fail "config.replica would give all pods the same name: leave it out, and each pod's name is used" }}
{{- end }}
{{- if ($sink.kafka | default dict).staticMembership }}
{{- fail "config.sink.kafka.staticMembership is for replicas that restart under the same name; the pods of a Deployment get new names" }}
{{- end }}
{{- $shards := int ($config.shards | default 32) }}
{{- if and (not .Values.autoscaling.enabled) (gt (int .Values.replicaCount) $shards) }}
{{- fail (printf "replicaCount is %d, but config.shards is %d: further pods would have no shards" (int .Values.replicaCount) $shards) }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.maxReplicas) $shards) }}
{{- fail (printf "autoscaling.maxReplicas is %d, but config.shards is %d: further pods would have no shards" (int .Values.autoscaling.maxReplicas) $shards) }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas" }}
{{- end }}
{{- /* Only values that begin with /secrets/: others, such as /vault/secrets/x, aren't mounted by the chart. */}}
{{- range $value := regexFindAll "[:-] [\"']?/secrets/[^/\\s\"']+" (toYaml $config) -1 }}
{{- $path := regexFind "/secrets/.+" $value }}
{{- $name := trimPrefix "/secrets/" $path }}
{{- if not (hasKey $.Values.secrets $name) }}
{{- fail (printf "config uses a file in %s, but secrets.%s is missing: name the Secret, `secrets: {%s: {existingSecret: NAME}}`" $path $name $name) }}
{{- end }}
{{- end }}
{{- if and .Values.job .Release.IsUpgrade }}
{{- fail "job is for `helm template --show-only templates/job.yaml`, and not part of a release: see docs/operations/checkpoints.md" }}
{{- end }}
{{- if and (has "IPv6" .Values.service.ipFamilies) (ne .Values.listenAddress "[::]") }}
{{- fail "service.ipFamilies contains IPv6, but the pods listen at 0.0.0.0, which is IPv4 only: set `listenAddress: \"[::]\"` for both" }}
{{- end }}
{{- if not .Values.image.repository }}
{{- fail "image.repository is empty, and no public registry has the image: build it, push it to your registry, and set `image: {repository: registry.example.com/asana-event-bridge}`; see docs/operations/kubernetes.md#the-image" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- fail "serviceMonitor and podMonitor are both enabled: Prometheus would scrape and count everything twice; enable one" }}
{{- end }}
{{- if or .Values.strimzi.topics .Values.strimzi.user }}
{{- if not $sink.kafka }}
{{- fail "strimzi needs config.sink.kafka" }}
{{- end }}
{{- if not .Values.strimzi.cluster }}
{{- fail "strimzi.cluster is empty: name the Kafka cluster" }}
{{- end }}
{{- end }}
{{- if and .Values.strimzi.topics (contains "{" ($sink.kafka.topic | default "")) }}
{{- fail "strimzi.topics can't create the topics of a pattern in config.sink.kafka.topic: let the bridge create them, or name a single topic" }}
{{- end }}
{{- end }}
