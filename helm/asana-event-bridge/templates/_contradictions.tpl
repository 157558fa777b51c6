{{/* Ends the rendering where values contradict each other, or would only fail in the cluster. */}}
{{- define "bridge.contradictions" -}}
{{- $config := .Values.config }}
{{- $sink := $config.sink | default dict }}
{{- if not $config.accounts }}
{{- fail "config.accounts is empty: name a credential, such as `main: {token: {file: /secrets/asana/token}}`; see helm/examples" }}
{{- end }}
{{- if not (or $config.streams ($config.discovery | default dict).rules) }}
{{- fail "config.streams is empty, and config.discovery has no rules: name what is polled, such as `- resource: \"1204619611402340\"`" }}
{{- end }}
{{- if ne (len $sink) 1 }}
{{- fail "config.sink must be exactly one of kafka and nats" }}
{{- end }}
{{- if ($config.admin | default dict).listen }}
{{- fail "config.admin.listen is the chart's: probes, Service and monitors know port 8080" }}
{{- end }}
{{- with $config.webhooks }}
{{- if not (and .publicUrl .key) }}
{{- fail "config.webhooks needs publicUrl, where Asana reaches the bell, and key, such as `{file: /secrets/bell/key}`" }}
{{- end }}
{{- end }}
{{- if and $config.replica (not (contains "${" $config.replica)) }}
{{- fail "config.replica would give all pods the same name: leave it out, and each has its pod's name" }}
{{- end }}
{{- if ($sink.kafka | default dict).staticMembership }}
{{- fail "config.sink.kafka.staticMembership is for replicas that come back under the same name: the pods of a Deployment don't" }}
{{- end }}
{{- $shards := int ($config.shards | default 32) }}
{{- if and (not .Values.autoscaling.enabled) (gt (int .Values.replicaCount) $shards) }}
{{- fail (printf "replicaCount is %d, but config.shards is %d: pods without a shard have nothing to do" (int .Values.replicaCount) $shards) }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.maxReplicas) $shards) }}
{{- fail (printf "autoscaling.maxReplicas is %d, but config.shards is %d: pods without a shard have nothing to do" (int .Values.autoscaling.maxReplicas) $shards) }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas" }}
{{- end }}
{{- /* Only values that begin so: /vault/secrets/x comes from elsewhere. */}}
{{- range $value := regexFindAll "[:-] [\"']?/secrets/[^/\\s\"']+" (toYaml $config) -1 }}
{{- $path := regexFind "/secrets/.+" $value }}
{{- $name := trimPrefix "/secrets/" $path }}
{{- if not (hasKey $.Values.secrets $name) }}
{{- fail (printf "config uses a file in %s, but secrets.%s is missing: say which Secret it is, `secrets: {%s: {existingSecret: NAME}}`" $path $name $name) }}
{{- end }}
{{- end }}
{{- if and .Values.job .Release.IsUpgrade }}
{{- fail "job is for `helm template --show-only templates/job.yaml`, and no part of a release: see docs/operations/checkpoints.md" }}
{{- end }}
{{- if and (has "IPv6" .Values.service.ipFamilies) (ne .Values.listenAddress "[::]") }}
{{- fail "service.ipFamilies has IPv6, but pods listen at 0.0.0.0, which is IPv4's: `listenAddress: \"[::]\"` is for both" }}
{{- end }}
{{- if not .Values.image.repository }}
{{- fail "image.repository is empty, and no public registry has the image: build it, push it to yours, and name it, `image: {repository: registry.example.com/asana-event-bridge}`; see docs/operations/kubernetes.md#the-image" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- fail "serviceMonitor and podMonitor are both enabled: everything would be counted twice" }}
{{- end }}
{{- if or .Values.strimzi.topics .Values.strimzi.user }}
{{- if not $sink.kafka }}
{{- fail "strimzi is for config.sink.kafka" }}
{{- end }}
{{- if not .Values.strimzi.cluster }}
{{- fail "strimzi.cluster is empty: name the Kafka cluster" }}
{{- end }}
{{- end }}
{{- if and .Values.strimzi.topics (contains "{" ($sink.kafka.topic | default "")) }}
{{- fail "strimzi.topics can't know the topics of a pattern in config.sink.kafka.topic: the bridge makes them, or name one topic" }}
{{- end }}
{{- end }}
